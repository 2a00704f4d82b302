"""The NumPy side of the pipeline: any batch of any epoch, as a pure function of (seed, epoch, sample index)."""

import functools
from collections.abc import Sequence

import cv2
import numpy as np

from segtrain.augmentations.augmentation import Augmentation
from segtrain.datasets.dataset import SegmentationDataset, spread_evenly
from segtrain.pipeline.sample_cache import open_cache

# The pipeline calls from several threads already; OpenCV's own would only get in their way.
cv2.setNumThreads(0)


class Samples:
    """The samples of one split at the network's size, decoded once and augmented anew each epoch.

    Every method may be called from several threads.

    Args:
        dataset: the dataset.
        split: name of the split.
        image_size: `(height, width)` of the network.
        augmentation: random changes for training, or None.
        seed: seed of order and augmentation.
        max_samples: how many of the split's samples to use, spread evenly; all when None.

    Raises:
        OSError: the dataset's cache is `disk`, and its folder is too small or cannot be written to.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        split: str,
        *,
        image_size: tuple[int, int],
        augmentation: Augmentation | None = None,
        seed: int = 0,
        max_samples: int | None = None,
    ):
        self.dataset = dataset
        self.split = split
        self.image_size = image_size
        self.failure: Exception | None = None
        self._source = dataset.split(split)
        self._chosen = spread_evenly(len(self._source), max_samples or len(self._source))
        self._augmentation = augmentation
        self._seed = seed
        # Every batch asks for its epoch's order; one epoch's last batches are read beside the next one's first.
        # The cache knows no `self`: in a circle with it, decoded images would stay until the collector comes by.
        self._order = functools.lru_cache(maxsize=2)(functools.partial(_draw_order, len(self), seed))
        self._keeps_native_size = augmentation is not None and augmentation.reads == "native"
        height, width = self._source.sizes(0)[0] if self._keeps_native_size else image_size
        self._cache = open_cache(dataset.cache, len(self), height * width * (dataset.channels + 1))

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def cache_kind(self) -> str:
        """Where decoded samples are kept: `memory`, `disk` or `none`."""
        return self._cache.kind

    def name(self, index: int) -> str:
        """Returns the sample's name in the dataset."""
        return self._source.name(int(self._chosen[index]))

    def steps_per_epoch(self, batch_size: int) -> int:
        """Returns the number of full batches.

        Raises:
            ValueError: there is none.
        """
        if len(self) < batch_size:
            raise ValueError(
                f"batch_size={batch_size} is more than the {len(self)} images of the split '{self.split}', so no batch "
                f"would be full. Use batch_size={len(self)} or less."
            )
        return len(self) // batch_size

    def order(self, epoch: int) -> np.ndarray:
        """Returns the order of the samples in an epoch, a permutation that depends on (seed, epoch) alone."""
        return self._order(epoch)

    def at_network_size(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns image and labels without augmentation, uint8 `(height, width, channels)` and `(height, width)`."""
        image, labels = self._decoded(index)
        return resize_image(image, self.image_size), resize_labels(labels, self.image_size)

    def augmented(self, index: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns image and labels as training sees them in that epoch.

        Raises:
            ValueError: the augmentation returns another size than the network's, or no pixel values.
        """
        if self._augmentation is None:
            return self.at_network_size(index)
        image, labels = self._augmentation(*self._decoded(index), key=(self._seed, epoch, index))
        if image.shape[:2] != tuple(self.image_size):
            raise ValueError(
                f"The augmentation has to return images of the network's size {tuple(self.image_size)}. "
                f"Received: {image.shape[:2]}. Give its cropping transform size=${{image_size}}, or set "
                "augmentation.reads=resized."
            )
        if image.dtype != np.uint8:
            raise ValueError(
                "The augmentation has to return pixel values 0..255 as uint8; networks scale them themselves. "
                f"Received: {image.dtype}. Take out transforms such as Normalize and ToFloat."
            )
        return image, labels

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Returns a batch; a negative index is a sample of void, which fills a last batch up.

        Args:
            indices: which samples.
            epoch: augment as in this epoch; no augmentation when None.

        Returns:
            Images, uint8 `(batch, height, width, channels)`, and labels, uint8 `(batch, height, width)`.
        """
        images = np.zeros((len(indices), *self.image_size, self.dataset.channels), np.uint8)
        labels = np.full((len(indices), *self.image_size), self.dataset.ignore_label, np.uint8)
        try:
            for place, index in enumerate(indices):
                if index < 0:
                    continue
                sample = self.at_network_size(index) if epoch is None else self.augmented(index, epoch)
                images[place], labels[place] = sample
            if not self.dataset.holds_valid_labels(labels):
                for index, mask in zip(indices, labels, strict=True):
                    source = self._source.source(int(self._chosen[index]))
                    self.dataset.require_valid_labels(mask, f"{source}, augmented")
        except Exception as error:
            # TensorFlow wraps what its map functions raise beyond recognition; the loop looks here for the original.
            self.failure = error
            raise
        return images, labels

    def _decoded(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._cache.get(index, self._decode)

    def _decode(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = self.dataset.read(self.split, int(self._chosen[index]))
        if self._keeps_native_size:
            return image, labels
        return resize_image(image, self.image_size), resize_labels(labels, self.image_size)


def _draw_order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the image at `(height, width)`: averaged over areas where it shrinks, linear where it grows."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    # OpenCV resizes up to four channels at a time, and drops the axis of a single one.
    parts = [image[..., first : first + 4] for first in range(0, image.shape[2], 4)]
    parts = [cv2.resize(part, (size[1], size[0]), interpolation=interpolation).reshape(*size, -1) for part in parts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the labels at `(height, width)`, each the nearest one: anything smoother invents labels."""
    if labels.shape == tuple(size):
        return labels
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
