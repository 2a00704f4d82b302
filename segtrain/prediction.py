"""Masks for images, from a finished run."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

import segtrain.layers  # noqa: F401  (registers what the model's file names)
from segtrain.datasets.file_pairs import IMAGE_SUFFIXES, list_files, read_image
from segtrain.pipeline.samples import resize_image
from segtrain.reports.pictures import overlay, palette_image
from segtrain.run_folder import RunFolder, written_whole


class Predictor:
    """A run's best checkpoint, with the facts about its classes.

    Args:
        run: the folder of a finished run.
    """

    def __init__(self, run: RunFolder):
        results = run.read_results()
        self.palette = results["dataset"]["palette"]
        self._image_size = tuple(results["image_size"])
        self._model = keras.saving.load_model(run.best_model, compile=False)
        # Images have many sizes; a compiled function for each would take longer than it saves.
        self._logits = tf.function(
            lambda images: self._model(images, training=False),
            input_signature=[tf.TensorSpec((None, *self._image_size, self._model.input_shape[-1]), tf.float32)],
        )

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Returns the class id of each pixel.

        The image is brought to the network's size and the logits back to the image's, so edges are those of the
        network's size, interpolated.

        Args:
            image: uint8 `(height, width, channels)` in 0..255.

        Returns:
            uint8 `(height, width)`.
        """
        resized = resize_image(image, self._image_size)
        logits = self._logits(tf.constant(resized[None], tf.float32))
        if image.shape[:2] != self._image_size:
            logits = tf.image.resize(logits, image.shape[:2], method="bilinear")
        return tf.argmax(logits[0], axis=-1).numpy().astype(np.uint8)


def image_files(path: Path) -> list[Path]:
    """Returns the image file `path`, or the images in the folder `path`.

    Raises:
        ValueError: there is none, or two would be written to the same mask.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"input={path}: there is no such file or folder.")
    files = [path / name for name in list_files(path, IMAGE_SUFFIXES)]
    if not files:
        raise ValueError(f"input={path}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    by_stem: dict[str, Path] = {}
    for file in files:
        if by_stem.setdefault(file.stem, file) is not file:
            raise ValueError(f"{by_stem[file.stem]} and {file} would both become {file.stem}.png. Rename one.")
    return files


def write_prediction(predictor: Predictor, file: Path, output: Path) -> None:
    """Writes `<stem>.png`, class ids as a palette image, and `<stem>_overlay.png`, at the image's own size."""
    image = read_image(file)
    labels = predictor.predict(image)
    with written_whole(output / f"{file.stem}.png") as temporary:
        palette_image(labels, predictor.palette).save(temporary)
    with written_whole(output / f"{file.stem}_overlay.png") as temporary:
        Image.fromarray(overlay(image, labels, predictor.palette)).save(temporary)
