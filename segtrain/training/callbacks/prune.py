import logging
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    import optuna

_log = logging.getLogger(__name__)


class Prune(keras.callbacks.Callback):
    """Ends a trial of a search whose `val_mean_iou` is hopeless beside that of the others.

    Args:
        trial: the study's trial that this run is; its pruner decides.
    """

    kept = ("warnings",)  # when a run goes on

    def __init__(self, trial: "optuna.Trial"):
        super().__init__()
        self._trial = trial
        self.warnings: list[str] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        from optuna.exceptions import StorageInternalError

        number, score = epoch + 1, float(logs["val_mean_iou"])
        try:
            self._trial.report(score, number)
            if number == self.params["epochs"] or not self._trial.should_prune():
                return
            self._trial.set_user_attr("pruned_after", number)
        except StorageInternalError as error:  # the run is worth more than what pruning saves
            _log.warning("epoch %d is not told to the search: %s", number, error)
            return
        pruner = type(self._trial.study.pruner).__name__
        self.warnings = [
            f"pruned after epoch {number} of {self.params['epochs']} by {pruner}: val_mean_iou {score:.3f} is hopeless "
            "beside that of the search's other trials"
        ]
        self.model.stop_training = True
