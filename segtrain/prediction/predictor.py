"""Labels and probabilities for images of any size, from a finished run."""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real

import keras
import numpy as np
import tensorflow as tf

from segtrain.models.logits_of_image import with_logits_of_image
from segtrain.models.saved import load_saved_model
from segtrain.pipeline.resizing import Place, Size, letterboxed, pad, resize_image, size_around, whole
from segtrain.prediction.choices import TtaChoice
from segtrain.prediction.row_bands import bands_of_rows, resized_rows
from segtrain.prediction.sliding_windows import blended_bands
from segtrain.prediction.test_time_augmentation import View, views
from segtrain.run_folder import RunFolder

# A run that cropped squares predicts all of an image at the scale of its squares. Of a strip longer than 16 squares
# that would take the memory of a batch of so many, so such a strip is seen smaller.
MOST_SQUARES = 16
# Of the tiles that go through the network together: as one of 512x512. More gain nothing, and take memory.
MOST_PIXELS_OF_TILES = 2**18


def load_best(run: RunFolder) -> keras.Model:
    """Returns a run's best checkpoint, without an optimizer; see `load_saved_model`."""
    return load_saved_model(run.best_model)


class Predictor:
    """A run's best checkpoint, with the facts about its classes.

    The image is brought to the network's size, if it has one, and the logits back to the image's, so edges are those
    of the network's size, interpolated. Where the run letterboxed images, so is this one, and the logits are cut out
    of the padding. Where it cropped them, all of this one is seen, at the scale at which the part that the run would
    have kept fills the network's size: what lies around that part is labelled too.

    Args:
        run: the folder of a finished run.
        tta: what else the network sees of each image, or of each tile: `flip` its mirror image, `scales` the image at
            0.75 and 1.25 of its size; both, all six. The probabilities are averaged.
        sliding_window: `(height, width)` of tiles of the image that the network sees as they are, one after the other;
            None shows it the whole image.
        overlap: share of a tile that its neighbour covers too, 0 <= overlap <= 0.9; of more, tiles without number.

    Attributes:
        palette: RGB colours 0..255 by class id.
        class_names: the classes' names by class id.
        num_classes: their number.
        channels: channels of the images that `predict` takes.
        model: the checkpoint; its logits have the size of the image, enlarged where the network's own are fewer.
        white: the value that becomes 255 in files of more than 8 bits; see `read_image`.

    Raises:
        ValueError: the run says nothing of its classes, or an argument is out of range.
    """

    def __init__(
        self,
        run: RunFolder,
        *,
        tta: Sequence[TtaChoice] = (),
        sliding_window: tuple[int, int] | None = None,
        overlap: float = 0.5,
    ):
        self._views = views(tta)
        self._window, self._overlap = _checked_window(sliding_window), _checked_overlap(overlap)
        results = run.read_results()
        if "dataset" not in results:
            raise ValueError(f"{run.results} does not say what the classes are, as that of a run does.")
        self.palette = results["dataset"]["palette"]
        self.class_names = results["dataset"].get("class_names") or [str(number) for number in range(len(self.palette))]
        self.num_classes = len(self.palette)
        self.channels, self.white = results["dataset"].get("channels", 3), results["dataset"].get("white")
        self._image_size = results["image_size"] and tuple(results["image_size"])
        self._resize = results.get("resize") or "stretch"
        self.model = with_logits_of_image(load_best(run))
        # Images have many sizes; a compiled function for each would take longer than it saves.
        self._logits = tf.function(
            lambda images: self.model(images, training=False),
            input_signature=[tf.TensorSpec((None, None, None, self.model.input_shape[-1]), tf.float32)],
        )

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Returns the class id of each pixel.

        Args:
            image: uint8 `(height, width, channels)` in 0..255; a grey image may be `(height, width)`.

        Returns:
            uint8 `(height, width)`.

        Raises:
            TypeError: the image is not uint8.
            ValueError: it has another shape, or is too small for the network.
        """
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns the class ids of several images; the network sees those of one size together.

        Args:
            images: uint8 `(height, width, channels)` each, of any sizes.

        Returns:
            uint8 `(height, width)` each, in their order.
        """
        images = [self._checked(image) for image in images]
        if self._window is not None:
            return [_argmax(self._bands_of_tiles(image)) for image in images]
        labels: dict[int, np.ndarray] = {}
        for together in self._of_one_size(images):
            answers = self._answers([images[place] for place in together])
            for place, answer in zip(together, answers, strict=True):
                labels[place] = _argmax(self._bands(answer, images[place].shape[:2], as_logits=True))
        return [labels[place] for place in range(len(images))]

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Returns the probability of each class at each pixel, whose argmax `predict` is.

        Args:
            image: as `predict` takes it.

        Returns:
            float32 `(height, width, classes)`, 0..1; the classes' add up to 1.
        """
        return np.concatenate(list(self.probability_bands(image)))

    def probability_bands(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """Yields `probabilities` from top to bottom, some rows at a time: float32 `(rows, width, classes)`."""
        image = self._checked(image)
        if self._window is not None:
            return self._bands_of_tiles(image)
        return self._bands(self._answers([image])[0], image.shape[:2])

    def _of_one_size(self, images: Sequence[np.ndarray]) -> list[list[int]]:
        """Returns the places of the images that the network sees at one size, size by size."""
        places: dict[Size, list[int]] = {}
        for place, image in enumerate(images):
            places.setdefault(self._seen_size(image.shape[:2]), []).append(place)
        return list(places.values())

    def _answers(self, images: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        """Returns for each image the logits of each view, at the view's size: float32 `(height, width, classes)`."""
        answers = [self._answers_to(images, view) for view in self._views]
        return [list(of_image) for of_image in zip(*answers, strict=True)]

    def _answers_to(self, images: Sequence[np.ndarray], view: View) -> list[np.ndarray]:
        size = view.size(self._seen_size(images[0].shape[:2]))
        places = [self._place(image.shape[:2], size) for image in images]
        seen = [
            pad(resize_image(image, place.size), place, size, 0) for image, place in zip(images, places, strict=True)
        ]
        logits = view.mirrored(self._network(view.mirrored(np.stack(seen))))
        return [answer[place.window] for answer, place in zip(logits, places, strict=True)]

    def _bands(self, answers: Sequence[np.ndarray], size: Size, *, as_logits: bool = False) -> Iterator[np.ndarray]:
        """Yields the mean probabilities of the views at the image's size; the logits of a single view, if they do."""
        for rows in bands_of_rows(size[0], size[1] * self.num_classes):
            logits = (resized_rows(answer, size, rows) for answer in answers)
            yield next(logits) if as_logits and len(answers) == 1 else _mean(map(_softmax, logits), len(answers))

    def _bands_of_tiles(self, image: np.ndarray) -> Iterator[np.ndarray]:
        height, width = self._window
        tiles_together = max(1, MOST_PIXELS_OF_TILES // (height * width))
        return blended_bands(image, self._window, self._overlap, self._probabilities_of_tiles, tiles_together)

    def _probabilities_of_tiles(self, tiles: np.ndarray) -> np.ndarray:
        size = tiles.shape[1:3]
        probabilities = (self._probabilities_of_view(tiles, size, view) for view in self._views)
        return _mean(probabilities, len(self._views))

    def _probabilities_of_view(self, tiles: np.ndarray, size: Size, view: View) -> np.ndarray:
        seen = np.stack([resize_image(tile, view.size(size)) for tile in np.ascontiguousarray(view.mirrored(tiles))])
        logits = view.mirrored(self._network(seen))
        return _softmax(np.stack([resized_rows(answer, size, range(size[0])) for answer in logits]))

    def _network(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits `(images, height, width, classes)` of images of one size, at that size, float32."""
        size = "x".join(map(str, images.shape[1:3]))
        try:
            return self._logits(tf.constant(images, tf.float32)).numpy()
        except tf.errors.ResourceExhaustedError as error:
            instead = "a smaller sliding_window" if self._window else "sliding_window=[512,512]"
            raise ValueError(f"memory does not last for {len(images)} of {size} pixels. Type {instead}.") from error
        except tf.errors.InvalidArgumentError as error:
            reason = re.sub(r"\{\{.*?\}\}\s*", "", str(error).splitlines()[0])  # names of TensorFlow's nodes
            raise ValueError(f"the network cannot see {size} pixels (height x width): {reason}") from error

    def _seen_size(self, own_size: Size) -> Size:
        """Returns the size at which the network sees an image."""
        if self._image_size is None:
            return own_size
        if self._resize == "crop_square":
            most_pixels = MOST_SQUARES * self._image_size[0] * self._image_size[1]
            return size_around(own_size, self._image_size, most_pixels)
        return self._image_size

    def _place(self, own_size: Size, size: Size) -> Place:
        """Returns where an image lies in the `size` at which the network sees it."""
        is_letterboxed = self._image_size is not None and self._resize == "letterbox"
        return letterboxed(own_size, size) if is_letterboxed else whole(size)

    def _checked(self, image: np.ndarray) -> np.ndarray:
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            received = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
            raise TypeError(f"image has to be a NumPy array of uint8 with values 0..255. Received {received}.")
        shape = image.shape
        if image.ndim == 2:
            image = image[..., None]
        if image.ndim == 3 and image.shape[2] == 1 and self.channels == 3:
            image = np.repeat(image, 3, axis=2)
        if image.ndim != 3 or image.shape[2] != self.channels or 0 in image.shape:
            raise ValueError(f"image has to be of shape (height, width, {self.channels}). Received {shape}.")
        return image


def _checked_window(window: Sequence[int] | None) -> Size | None:
    if window is None:
        return None
    is_pair = isinstance(window, Sequence) and len(window) == 2
    if not is_pair or not all(isinstance(each, Integral) and each >= 1 for each in window):
        raise ValueError(f"sliding_window={window}: has to be [height, width] in pixels, or None.")
    return int(window[0]), int(window[1])


def _checked_overlap(overlap: float) -> float:
    if not isinstance(overlap, Real) or not 0 <= overlap <= 0.9:
        raise ValueError(f"overlap={overlap}: has to be a number from 0 to 0.9.")
    return overlap


def _argmax(bands: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([band.argmax(axis=-1).astype(np.uint8) for band in bands])


def _softmax(logits: np.ndarray) -> np.ndarray:
    return tf.nn.softmax(logits).numpy()


def _mean(arrays: Iterable[np.ndarray], count: int) -> np.ndarray:
    return functools.reduce(np.add, arrays) / np.float32(count)
