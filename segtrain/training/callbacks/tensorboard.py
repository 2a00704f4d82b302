from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from segtrain.reports.pictures import picture_path
from segtrain.run_folder import RunFolder


class TensorBoard(keras.callbacks.Callback):
    """Writes scalars and prediction pictures to tensorboard/, training and validation as two curves of one chart.

    Stands after `pictures` in the list of callbacks, whose picture of the epoch it shows.

    Args:
        folder: the run's folder.
    """

    def __init__(self, *, folder: RunFolder):
        super().__init__()
        self._folder = folder
        self._training = self._validation = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._training = tf.summary.create_file_writer(str(self._folder.tensorboard / "train"))
        self._validation = tf.summary.create_file_writer(str(self._folder.tensorboard / "validation"))
        self._write_picture(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in logs.items():
            writer = self._validation if name.startswith("val_") else self._training
            with writer.as_default(step=epoch + 1):
                tf.summary.scalar(name.removeprefix("val_"), value)
        self._write_picture(epoch + 1)
        self._training.flush()
        self._validation.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # Training may end before it began, when another callback cannot start.
        for writer in (self._training, self._validation):
            if writer is not None:
                writer.close()

    def _write_picture(self, epoch):
        path = picture_path(self._folder, epoch)
        if path.is_file():
            with Image.open(path) as picture, self._validation.as_default(step=epoch):
                tf.summary.image("predictions", np.asarray(picture.convert("RGB"))[None])
