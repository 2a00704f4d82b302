import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge

from segtrain.run_folder import RunFolder
from segtrain.training.rollback import RollbackError, halve_learning_rate
from segtrain.training.state import TrainingState, save_state
from segtrain.training.state_files import find_state, go_back_to, state_path


class TerminateOnNaN(keras.callbacks.Callback):
    """Ends the run at the first step whose loss is NaN or infinite, or has it go back: nothing after it can be right.

    Args:
        action: `stop` ends the run; `rollback` goes on from the newest state in checkpoints/last/ after which the loss
            still was a number, with half the learning rate. The run's beginning is such a state.
        max_rollbacks: how often in a run; then it stops.
        folder: the run's folder; `rollback` needs it.
        describe_step: called with `epoch` and `step`, from 0, says what was in the step.
        warn: is told of each rollback.
    """

    kept = ("warnings",)  # when a run goes on: one of each rollback

    def __init__(
        self,
        *,
        action: Literal["stop", "rollback"] = "stop",
        max_rollbacks: Annotated[int, Ge(1)] = 3,
        folder: RunFolder | None = None,
        describe_step: Callable[..., str] | None = None,
        warn: Callable[[str], None] = lambda warning: None,
    ):
        super().__init__()
        self._rolls_back = action == "rollback"
        self._max_rollbacks = max_rollbacks
        self._folder = folder
        self._describe_step = describe_step
        self._warn = warn
        self._epoch = 0
        self._begins = False
        self._going_back: list[str] = []
        self.warnings: list[str] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begins = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        if self._begins:
            self._begins = False
            self._begin(self.params["state"])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float(logs["loss"])
        if math.isfinite(loss):
            return
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        reason = f"became {loss} in epoch {self._epoch + 1}, step {batch + 1}, at learning rate {rate:.3g}"
        advice = "Try a tenth of optimizer.learning_rate, or schedule=cosine, which warms up."
        if self._rolls_back and len(self.warnings) < self._max_rollbacks:
            self._go_back(batch, reason)
            advice = f"No state is kept from before these weights: type callbacks.checkpoint.keep=3, say. {advice}"
        step = self._describe_step(epoch=self._epoch, step=batch) + " " if self._describe_step else ""
        count = len(self.warnings)
        after = f" after {count} rollback{'s' * (count > 1)}" if count else ""
        raise FloatingPointError(f"The loss {reason}{after}. {step}Earlier checkpoints are kept. {advice}")

    def _begin(self, state: TrainingState) -> None:
        """Before the first step of a run, of one that is resumed, and after each rollback."""
        going_back, self._going_back = self._going_back, []
        times = len(going_back or self.warnings)
        if times:
            rate = halve_learning_rate(self.model.optimizer, times, counted=len(self.warnings))
        if going_back:
            going_back[-1] += f" at learning rate {rate:.3g}"
            self.warnings = going_back
            self._warn(going_back[-1])
        if self._rolls_back and (going_back or state.is_new):
            # The file that was gone back to, but it counts the rollback: a run that is resumed from it does as well.
            save_state(state_path(self._folder, state.epoch, state.step), state)

    def _go_back(self, batch: int, reason: str) -> None:
        # The loss of a step is that of the weights before it. A state that holds these is no good one: no learning
        # rate would help it. Validation changes no weight, so the first step has two of them.
        spoiled = (self._epoch, batch) if batch else (self._epoch - 1, self.params["steps"])
        state = find_state(self._folder, before=spoiled)
        if state.path is None:
            return
        go_back_to(self._folder, state)
        number = len(self.warnings) + 1
        line = f"rollback {number} of {self._max_rollbacks}: the loss {reason}; goes on from {state.path.name}"
        self._going_back = [*self.warnings, line]
        raise RollbackError(line, state.path)
