import contextlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.compat.proto import event_pb2

from segtrain.pipeline.samples import Samples
from segtrain.reports.pictures import picture_path
from segtrain.run_folder import RunFolder, written_whole
from segtrain.training.evaluator import Evaluator


class TensorBoard(keras.callbacks.Callback):
    """Writes scalars, prediction pictures and the config to tensorboard/.

    Training and validation are two curves of one chart; each class's IoU on the validation images has one of its own.
    Stands after `pictures` in the list of callbacks, whose picture of the epoch it shows.

    Args:
        folder: the run's folder.
        validation: the validation samples, whose dataset names the classes.
        evaluator: whose latest evaluation is that of the epoch.
    """

    def __init__(self, *, folder: RunFolder, validation: Samples, evaluator: Evaluator):
        super().__init__()
        self._folder = folder
        self._class_names = validation.dataset.class_names
        self._evaluator = evaluator
        self._training = self._validation = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        state = self.params["state"]
        curves = [self._folder.tensorboard / curve for curve in ("train", "validation")]
        for curve in curves:
            keep_events(curve, up_to=None if state.is_new else state.epoch)
        self._training, self._validation = (tf.summary.create_file_writer(str(curve)) for curve in curves)
        if not state.is_new:
            return
        if self._folder.config.is_file():  # a benchmark leaves none
            config = self._folder.config.read_text(encoding="utf-8")
            with self._training.as_default(step=0):
                tf.summary.text("config", f"```\n{config}\n```")
        self._write_picture(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in logs.items():
            writer = self._validation if name.startswith("val_") else self._training
            with writer.as_default(step=epoch + 1):
                tf.summary.scalar(name.removeprefix("val_"), value)
        with self._validation.as_default(step=epoch + 1):
            for name, iou in zip(self._class_names, self._evaluator.latest.scores.per_class_iou, strict=True):
                if not np.isnan(iou):
                    tf.summary.scalar(f"iou/{name}", iou)
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


def keep_events(curve: Path, *, up_to: int | None) -> None:
    """Drops what a run that goes on is going to write again: TensorBoard would show both.

    Args:
        curve: the folder of event files.
        up_to: the last epoch whose events to keep; None keeps none.
    """
    for path in sorted(curve.glob("events.out.tfevents.*")):
        if up_to is None:
            path.unlink()
            continue
        with (
            written_whole(path) as temporary,
            tf.io.TFRecordWriter(str(temporary)) as writer,
            contextlib.suppress(tf.errors.DataLossError),  # half an event at the end, where the process was killed
        ):
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                if event_pb2.Event.FromString(record).step <= up_to:
                    writer.write(record)
