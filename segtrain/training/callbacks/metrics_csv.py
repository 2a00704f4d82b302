import csv
from typing import Any

import keras

from segtrain.run_folder import RunFolder, written_whole
from segtrain.training.epoch_log import EPOCH_COLUMNS


class MetricsCsv(keras.callbacks.Callback):
    """Writes metrics.csv, a row per epoch, on disk as soon as the epoch is done.

    A run that goes on begins with the rows of the epochs that its state counts: those of later ones are dropped.

    Args:
        folder: the run's folder.
    """

    def __init__(self, *, folder: RunFolder):
        super().__init__()
        self._path = folder.metrics
        self._file = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        with written_whole(self._path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(EPOCH_COLUMNS)
            csv.writer(file).writerows(_row(epoch) for epoch in self.params["state"].history)
        self._file = self._path.open("a", newline="", encoding="utf-8")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        csv.writer(self._file).writerow(_row({"epoch": epoch + 1, **logs}))
        self._file.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._file is not None:  # None where training ends before it began, since another callback cannot start
            self._file.close()


def _row(epoch):
    return [epoch[column] for column in EPOCH_COLUMNS]
