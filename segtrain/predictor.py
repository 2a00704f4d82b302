"""Labels for images, from a finished run."""

import keras
import numpy as np
import tensorflow as tf

import segtrain.layers  # noqa: F401  (registers what the model's file names)
from segtrain.pipeline.resizing import letterboxed, pad, resize_image, whole
from segtrain.run_folder import RunFolder


class Predictor:
    """A run's best checkpoint, with the facts about its classes.

    Args:
        run: the folder of a finished run.

    Attributes:
        palette: RGB colours 0..255 by class id.
        channels: channels of the images that `predict` takes.
        white: the value that becomes 255 in files of more than 8 bits; see `read_image`.
    """

    def __init__(self, run: RunFolder):
        results = run.read_results()
        if "dataset" not in results:
            raise ValueError(f"{run.results} does not say what the classes are, as that of a run does.")
        self.palette = results["dataset"]["palette"]
        self.channels, self.white = results["dataset"].get("channels", 3), results["dataset"].get("white")
        self._image_size = results["image_size"] and tuple(results["image_size"])
        # What a square would cut off has to be labelled too.
        self._keeps_aspect_ratio = results.get("resize") in ("letterbox", "crop_square")
        self._model = keras.saving.load_model(run.best_model, compile=False)
        channels = self._model.input_shape[-1]
        # Images have many sizes; a compiled function for each would take longer than it saves.
        self._logits = tf.function(
            lambda images: self._model(images, training=False),
            input_signature=[tf.TensorSpec((1, *(self._image_size or (None, None)), channels), tf.float32)],
        )

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Returns the class id of each pixel.

        The image is brought to the network's size, if it has one, and the logits back to the image's, so edges are
        those of the network's size, interpolated. Where the run has letterboxed or cropped images, the image keeps its
        aspect ratio, and the logits are cut out of the padding.

        Args:
            image: uint8 `(height, width, channels)` in 0..255.

        Returns:
            uint8 `(height, width)`.
        """
        own_size = image.shape[:2]
        size = self._image_size or own_size
        place = letterboxed(own_size, size) if self._keeps_aspect_ratio else whole(size)
        seen = pad(resize_image(image, place.size), place, size, 0)
        logits = self._logits(tf.constant(seen[None], tf.float32))[:, *place.window]
        if place.size != own_size:
            logits = tf.image.resize(logits, own_size, method="bilinear")
        return tf.argmax(logits[0], axis=-1).numpy().astype(np.uint8)
