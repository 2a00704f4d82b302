import os

import keras


class ExitAfterFirstStep(keras.callbacks.Callback):
    """Ends the process when the first training step is done: what `segtrain benchmark` times a start by."""

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        os._exit(0)
