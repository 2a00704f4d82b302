from typing import Any

import keras


class History(keras.callbacks.Callback):
    """Keeps every epoch's logs, those before a resumption too, for the report: a list of dicts with `epoch` from 1.

    `seconds_before` is what the epochs before the resumption took.
    """

    def __init__(self):
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        self.seconds_before = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epochs = list(self.params["state"].history)
        self.seconds_before = sum(epoch["seconds"] for epoch in self.epochs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epochs.append({"epoch": epoch + 1, **logs})
