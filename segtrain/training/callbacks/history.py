import time
from typing import Any

import keras


class History(keras.callbacks.Callback):
    """Keeps every epoch's logs, those before a resumption too, for the report: a list of dicts with `epoch` from 1."""

    def __init__(self):
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        self._seconds_before = self._began = 0.0

    @property
    def seconds(self) -> float:
        """What the training has taken: the epochs that it has gone on from, and the time since."""
        return self._seconds_before + time.perf_counter() - self._began

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epochs = list(self.params["state"].history)
        self._seconds_before, self._began = sum(epoch["seconds"] for epoch in self.epochs), time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epochs.append({"epoch": epoch + 1, **logs})
