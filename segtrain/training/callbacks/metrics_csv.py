import csv
from typing import Any

import keras

from segtrain.run_folder import RunFolder
from segtrain.training.epoch_log import EPOCH_COLUMNS


class MetricsCsv(keras.callbacks.Callback):
    """Writes metrics.csv, a row per epoch, on disk as soon as the epoch is done.

    Args:
        folder: the run's folder.
    """

    def __init__(self, *, folder: RunFolder):
        super().__init__()
        self._path = folder.metrics
        self._file = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._file = self._path.open("w", newline="", encoding="utf-8")
        csv.writer(self._file).writerow(EPOCH_COLUMNS)
        self._file.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {"epoch": epoch + 1, **logs}
        csv.writer(self._file).writerow([row[column] for column in EPOCH_COLUMNS])
        self._file.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._file is not None:  # None where training ends before it began, since another callback cannot start
            self._file.close()
