import math
from typing import Any, Literal

import keras

from segtrain.run_folder import RunFolder, written_whole
from segtrain.training.state import save_state


class Checkpoint(keras.callbacks.Callback):
    """Writes checkpoints/best.keras whenever the score improves, and checkpoints/last/ after every epoch.

    Args:
        folder: the run's folder.
        monitor: the epoch log that decides.
        mode: whether more of it is better or less.
    """

    def __init__(self, *, folder: RunFolder, monitor: str = "val_mean_iou", mode: Literal["max", "min"] = "max"):
        super().__init__()
        self._folder = folder
        self._monitor = monitor
        self._sign = 1.0 if mode == "max" else -1.0
        self._callbacks: list[keras.callbacks.Callback] = []
        self.best = -float("inf")
        self.best_epoch = 0

    def keep_state_of(self, callbacks: list[keras.callbacks.Callback]) -> None:
        """Names the callbacks whose state checkpoints/last/ keeps."""
        self._callbacks = callbacks

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        score = self._sign * logs[self._monitor]
        # The first epoch is kept whatever its score: NaN, where validation holds nothing but void, beats nothing.
        if score > self.best or self.best_epoch == 0:
            self.best = -float("inf") if math.isnan(score) else score
            self.best_epoch = epoch + 1
            self._save_best()
        save_state(self._folder.last_state, self.model, epochs_done=epoch + 1, callbacks=self._callbacks)

    def _save_best(self):
        # The file is for use elsewhere: without the optimizer it is a third of the size, and loads without a warning.
        optimizer, self.model.optimizer = self.model.optimizer, None
        try:
            with written_whole(self._folder.best_model) as temporary:
                self.model.save(temporary)
        finally:
            self.model.optimizer = optimizer
