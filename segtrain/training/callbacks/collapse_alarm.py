import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from segtrain.training.collapse import describe_collapse
from segtrain.training.evaluator import Evaluator


class CollapseAlarm(keras.callbacks.Callback):
    """Says when the network has come to answer one class only, or nothing: once, until it has left that.

    Args:
        evaluator: whose latest evaluation is that of the epoch.
        class_names: names by class id.
        tell: takes the sentence.
        weighs_classes: see `describe_collapse`.
        keep: takes the warning that is kept of it.
    """

    kept = ("mishap", "warnings")  # when a run goes on

    def __init__(
        self,
        evaluator: Evaluator,
        class_names: Sequence[str],
        tell: Callable[[str], None],
        *,
        weighs_classes: bool = False,
        keep: Callable[[str], None] = lambda warning: None,
    ):
        super().__init__()
        self._evaluator = evaluator
        self._class_names = class_names
        self._tell = tell
        self._weighs_classes = weighs_classes
        self._keep = keep
        self.mishap: str | None = None
        self.warnings: list[str] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        evaluation = self._evaluator.latest
        if math.isfinite(evaluation.loss):
            told = describe_collapse(
                evaluation.confusion_matrix, self._class_names, weighs_classes=self._weighs_classes
            )
            mishap = told and "one class"
        else:  # logits that are not numbers, which all give class 0
            mishap = "no numbers"
            told = f"the validation loss is {evaluation.loss}, so the scores mean nothing. Try a tenth of "
            told += "optimizer.learning_rate."
        if told and mishap != self.mishap:
            self.warnings.append(f"after epoch {epoch + 1}: {told}")
            self._keep(self.warnings[-1])
            self._tell(f"warning: {told}")
        self.mishap = mishap
