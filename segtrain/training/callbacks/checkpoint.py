import math
import time
from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Gt

from segtrain.run_folder import RunFolder, written_whole
from segtrain.training.replicas import as_of_one_device
from segtrain.training.state import TrainingState, save_state
from segtrain.training.state_files import best_path, drop_old, publish_best, state_path


class Checkpoint(keras.callbacks.Callback):
    """Writes checkpoints/best.keras whenever the score improves, and checkpoints/last/ after every epoch.

    Stands last in the list of callbacks: it saves what the others have become by then.

    Args:
        folder: the run's folder.
        monitor: the epoch log that decides.
        mode: whether more of it is better or less.
        keep: how many states to keep in checkpoints/last/; when the newest is damaged, the one before is used.
        every_steps: save after so many steps of an epoch, too; None does not.
        every_minutes: save when the last time is so long ago, too; None does not.
    """

    def __init__(
        self,
        *,
        folder: RunFolder,
        monitor: str = "val_mean_iou",
        mode: Literal["max", "min"] = "max",
        keep: Annotated[int, Ge(1)] = 2,
        every_steps: Annotated[int, Ge(1)] | None = None,
        every_minutes: Annotated[float, Gt(0)] | None = None,
    ):
        super().__init__()
        self._folder = folder
        self.monitor = monitor
        self.mode = mode
        self._keep = keep
        self._every_steps = every_steps
        self._every_minutes = every_minutes
        self._saved_at = 0.0
        self.best = -float("inf")
        self.best_epoch = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        minutes = (time.monotonic() - self._saved_at) / 60
        is_due = (self._every_steps and (batch + 1) % self._every_steps == 0) or (
            self._every_minutes and minutes >= self._every_minutes
        )
        if is_due:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        score = logs[self.monitor] * (1.0 if self.mode == "max" else -1.0)
        # The first epoch is kept whatever its score: NaN, where validation holds nothing but void, beats nothing.
        improves = score > self.best or self.best_epoch == 0
        if improves:
            self.best = -float("inf") if math.isnan(score) else score
            self.best_epoch = epoch + 1
            self._write_network(epoch + 1)
        self.save()
        if improves:
            publish_best(self._folder)

    def save(self) -> None:
        """Saves what training is at, between two steps or two epochs."""
        state: TrainingState = self.params["state"]
        save_state(state_path(self._folder, state.epoch, state.step), state)
        drop_old(self._folder, self._keep)
        self._saved_at = time.monotonic()

    def _write_network(self, epoch):
        # The file is for use elsewhere: without the optimizer it is a third of the size, and loads without a warning.
        optimizer, self.model.optimizer = self.model.optimizer, None
        try:
            num_bytes = self.model.count_params() * 4  # weights are float32 in every precision
            with written_whole(best_path(self._folder, epoch), num_bytes) as temporary, as_of_one_device(self.model):
                self.model.save(temporary)
        finally:
            self.model.optimizer = optimizer
