"""Labels for images, from a finished run."""

import keras
import numpy as np
import tensorflow as tf

import segtrain.layers  # noqa: F401  (registers what the model's file names)
from segtrain.pipeline.resizing import Place, Size, letterboxed, pad, resize_image, size_around, whole
from segtrain.run_folder import RunFolder

# A run that cropped squares predicts all of an image at the scale of its squares. Of a strip longer than 16 squares
# that would take the memory of a batch of so many, so such a strip is seen smaller.
MOST_SQUARES = 16


def load_best(run: RunFolder) -> keras.Model:
    """Returns a run's best checkpoint, without an optimizer."""
    return keras.saving.load_model(run.best_model, compile=False)


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
        self._resize = results.get("resize") or "stretch"
        self._model = load_best(run)
        # Images of a cropping run are seen whole, and so as long as they are.
        size = (None, None) if self._resize == "crop_square" else self._image_size or (None, None)
        # Images have many sizes; a compiled function for each would take longer than it saves.
        self._logits = tf.function(
            lambda images: self._model(images, training=False),
            input_signature=[tf.TensorSpec((1, *size, self._model.input_shape[-1]), tf.float32)],
        )

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Returns the class id of each pixel.

        The image is brought to the network's size, if it has one, and the logits back to the image's, so edges are
        those of the network's size, interpolated. Where the run letterboxed images, so is this one, and the logits are
        cut out of the padding. Where it cropped them, all of this one is seen, at the scale at which the part that the
        run would have kept fills the network's size: what lies around that part is labelled too.

        Args:
            image: uint8 `(height, width, channels)` in 0..255.

        Returns:
            uint8 `(height, width)`.
        """
        own_size = image.shape[:2]
        size, place = self._seen(own_size)
        seen = pad(resize_image(image, place.size), place, size, 0)
        logits = self._logits(tf.constant(seen[None], tf.float32))[:, *place.window]
        if place.size != own_size:
            logits = tf.image.resize(logits, own_size, method="bilinear")
        return tf.argmax(logits[0], axis=-1).numpy().astype(np.uint8)

    def _seen(self, own_size: Size) -> tuple[Size, Place]:
        """Returns the size at which the network sees an image, and the place of the image in it."""
        size = self._image_size
        if size is None:
            return own_size, whole(own_size)
        if self._resize == "letterbox":
            return size, letterboxed(own_size, size)
        if self._resize == "crop_square":
            size = size_around(own_size, size, MOST_SQUARES * size[0] * size[1])
        return size, whole(size)
