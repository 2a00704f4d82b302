from typing import Any

import keras


class History(keras.callbacks.Callback):
    """Keeps every epoch's logs, for the report: a list of dicts with `epoch` from 1."""

    def __init__(self):
        super().__init__()
        self.epochs: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epochs.append({"epoch": epoch + 1, **logs})
