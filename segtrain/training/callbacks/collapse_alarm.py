import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from segtrain.training.collapse import describe_collapse
from segtrain.training.evaluator import Evaluator


class CollapseAlarm(keras.callbacks.Callback):
    """Says when the network has come to answer one class only: once, until it has left that and comes back to it.

    Args:
        evaluator: whose latest evaluation is that of the epoch.
        class_names: names by class id.
        tell: takes the sentence.
        weighs_classes: see `describe_collapse`.
        keep: takes the warning that is kept of it.
    """

    kept = ("is_collapsed", "warnings")  # when a run goes on

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
        self.is_collapsed = False
        self.warnings: list[str] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        evaluation, collapse = self._evaluator.latest, None
        # Logits that are not numbers all give class 0, which is another mishap.
        if math.isfinite(evaluation.loss):
            collapse = describe_collapse(
                evaluation.confusion_matrix, self._class_names, weighs_classes=self._weighs_classes
            )
        if collapse is not None and not self.is_collapsed:
            self.warnings.append(f"after epoch {epoch + 1}: {collapse}")
            self._keep(self.warnings[-1])
            self._tell(f"warning: {collapse}")
        self.is_collapsed = collapse is not None
