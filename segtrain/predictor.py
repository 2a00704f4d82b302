"""Labels for images, from a finished run."""

import keras
import numpy as np
import tensorflow as tf

import segtrain.layers  # noqa: F401  (registers what the model's file names)
from segtrain.pipeline.samples import resize_image
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
