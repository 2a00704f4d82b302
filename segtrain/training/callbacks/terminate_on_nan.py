import math
from collections.abc import Callable
from typing import Any

import keras


class TerminateOnNaN(keras.callbacks.Callback):
    """Ends the run at the first step whose loss is NaN or infinite: nothing after it can be right.

    Args:
        describe_step: called with `epoch` and `step`, from 0, says what was in the step.
    """

    def __init__(self, *, describe_step: Callable[..., str] | None = None):
        super().__init__()
        self._describe_step = describe_step
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
            step = self._describe_step(epoch=self._epoch, step=batch) + " " if self._describe_step else ""
            raise FloatingPointError(
                f"The loss became {loss} in epoch {self._epoch + 1}, step {batch + 1}, at learning rate {rate:.3g}. "
                f"{step}Earlier checkpoints are kept. Try a tenth of optimizer.learning_rate, or schedule=cosine, "
                "which warms up."
            )
