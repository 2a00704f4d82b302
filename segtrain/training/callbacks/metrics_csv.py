import csv
from typing import Any

import keras

from segtrain.run_folder import RunFolder

COLUMNS = (
    "epoch",
    "loss",
    "pixel_accuracy",
    "mean_iou",
    "val_loss",
    "val_pixel_accuracy",
    "val_mean_iou",
    "learning_rate",
    "images_per_second",
    "data_wait",
    "seconds",
)


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
        csv.writer(self._file).writerow(COLUMNS)
        self._file.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {"epoch": epoch + 1, **logs}
        csv.writer(self._file).writerow([row[column] for column in COLUMNS])
        self._file.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._file.close()
