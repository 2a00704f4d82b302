"""The NumPy side of the pipeline: any batch of any epoch, as a pure function of (seed, epoch, sample index)."""

import functools
import logging
from collections.abc import Sequence

import cv2
import numpy as np

from segtrain.augmentations.augmentation import Augmentation
from segtrain.datasets.dataset import SAMPLE_ERRORS, SIZES_CHECKED, SegmentationDataset, spread_evenly
from segtrain.pipeline.resizing import bring_to_size, crop, largest_part
from segtrain.pipeline.sample_cache import open_cache

# The pipeline calls from several threads already; OpenCV's own would only get in their way.
cv2.setNumThreads(0)

_log = logging.getLogger(__name__)
# Height and width of what stands for an image that cannot be read, where the network's size does not say: any
# network takes it.
_SIZE_OF_UNREAD = (128, 128)


class Samples:
    """The samples of one split at the network's size, decoded once and augmented anew each epoch.

    The dataset says how they reach that size: see `SegmentationDataset.resize`. An augmentation that reads images at
    their own size comes before that. It is given the part that `crop_square` keeps; `letterbox` pads nothing for it,
    since it takes parts of the image at the network's size by itself, and padding would only be in its way.

    Where the dataset says so, a sample that cannot be read is void: black, and left out of loss and score. So the order
    and augmentation of all others stay the same.

    Every method may be called from several threads.

    Args:
        dataset: the dataset.
        split: name of the split.
        image_size: `(height, width)` of the network; None leaves each image at its own.
        augmentation: random changes for training, or None.
        seed: seed of order and augmentation.
        max_samples: how many of the split's samples to use, spread evenly; all when None.

    Attributes:
        skipped: why each sample that was skipped could not be used, by index.

    Raises:
        OSError: the dataset's cache is `disk`, and its folder is too small or cannot be written to.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        split: str,
        *,
        image_size: tuple[int, int] | None,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        max_samples: int | None = None,
    ):
        self.dataset = dataset
        self.split = split
        self.image_size = image_size
        self.failure: Exception | None = None
        self.skipped: dict[int, str] = {}
        self._source = dataset.split(split)
        self._chosen = spread_evenly(len(self._source), max_samples or len(self._source))
        self._augmentation = augmentation
        self._seed = seed
        # Every batch asks for its epoch's order; one epoch's last batches are read beside the next one's first.
        # The cache knows no `self`: in a circle with it, decoded images would stay until the collector comes by.
        self._order = functools.lru_cache(maxsize=2)(functools.partial(_draw_order, len(self), seed))
        reads_native = augmentation is not None and augmentation.reads == "native"
        self._keeps_own_size = image_size is None or reads_native
        self._crops = image_size is not None and dataset.resize == "crop_square"
        self._cache = open_cache(dataset.cache, len(self), self._bytes_per_sample())

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def cache_kind(self) -> str:
        """Where decoded samples are kept: `memory`, `disk` or `none`."""
        return self._cache.kind

    @property
    def bytes_in_memory(self) -> int:
        """What the decoded samples take there when all of them are kept."""
        return len(self) * self._bytes_per_sample() if self.cache_kind == "memory" else 0

    def name(self, index: int) -> str:
        """Returns the sample's name in the dataset."""
        return self._source.name(int(self._chosen[index]))

    def own_size_labels(self, index: int) -> np.ndarray:
        """Returns the labels as they are before any resizing, uint8 `(height, width)`; nothing of it is kept."""
        return self._read(index)[1]

    def describe_skipped(self) -> str:
        """Returns in a line which samples were skipped, or the first of many."""
        count, names = len(self.skipped), [self.name(index) for index in sorted(self.skipped)]
        more = f" and {count - 5} more" if count > 5 else ""
        return (
            f"{count} of {len(self)} images of {self.split} could not be used and count as void "
            f"(dataset.on_bad_sample=skip): {', '.join(names[:5])}{more}"
        )

    def steps_per_epoch(self, batch_size: int, accumulate: int = 1) -> int:
        """Returns the number of steps, of as many full batches each.

        Raises:
            ValueError: there is none.
        """
        if len(self) < batch_size:
            raise ValueError(
                f"batch_size={batch_size} is more than the {len(self)} images of the split '{self.split}', so no batch "
                f"would be full. Use batch_size={len(self)} or less."
            )
        if len(self) < batch_size * accumulate:
            raise ValueError(
                f"trainer.accumulate={accumulate} batches of batch_size={batch_size} are more than the {len(self)} "
                f"images of the split '{self.split}', so no step would be full. "
                f"Use trainer.accumulate={len(self) // batch_size} or less."
            )
        return len(self) // (batch_size * accumulate)

    def order(self, epoch: int) -> np.ndarray:
        """Returns the order of the samples in an epoch, a permutation that depends on (seed, epoch) alone."""
        return self._order(epoch)

    def at_network_size(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns image and labels without augmentation, uint8 `(height, width, channels)` and `(height, width)`."""
        return self._resized(*self._decoded(index))

    def augmented(self, index: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns image and labels as training sees them in that epoch.

        Raises:
            ValueError: the augmentation returns another size than the network's, or no pixel values.
        """
        if self._augmentation is None:
            return self.at_network_size(index)
        image, labels = self._augmentation(*self._decoded(index), key=(self._seed, epoch, index))
        if self.image_size is not None and image.shape[:2] != tuple(self.image_size):
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

        Raises:
            ValueError: several images, each at its own size; or a sample that cannot be read or augmented.
        """
        try:
            if self.image_size is None and len(indices) != 1:
                raise ValueError(
                    f"Images at their own sizes are batches of one. Received: {len(indices)} images. Use batch_size=1."
                )
            samples = [None if index < 0 else self._sample(index, epoch) for index in indices]
            size = self.image_size or samples[0][0].shape[:2]
            images = np.zeros((len(indices), *size, self.dataset.channels), np.uint8)
            labels = np.full((len(indices), *size), self.dataset.ignore_label, np.uint8)
            for place, sample in enumerate(samples):
                if sample is not None:
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

    def _sample(self, index: int, epoch: int | None) -> tuple[np.ndarray, np.ndarray]:
        return self.at_network_size(index) if epoch is None else self.augmented(index, epoch)

    def _decoded(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._cache.get(index, self._decode)

    def _decode(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = self._read(index)
        if self._crops:
            part = largest_part(labels.shape, self.image_size)
            image, labels = crop(image, part), crop(labels, part)
        return (image, labels) if self._keeps_own_size else self._resized(image, labels)

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            return self.dataset.read(self.split, int(self._chosen[index]))
        except SAMPLE_ERRORS as error:
            if self.dataset.on_bad_sample == "fail":
                raise
            self._skip(index, error)
        size = self.image_size or _SIZE_OF_UNREAD
        return np.zeros((*size, self.dataset.channels), np.uint8), np.full(size, self.dataset.ignore_label, np.uint8)

    def _skip(self, index: int, error: Exception) -> None:
        if index not in self.skipped:
            self.skipped[index] = str(error)
            _log.warning("skipped: %s", error)
        if len(self.skipped) > self.dataset.max_bad_share * len(self):
            raise ValueError(
                f"{len(self.skipped)} of the {len(self)} images of the split '{self.split}' cannot be used, more than "
                f"dataset.max_bad_share={self.dataset.max_bad_share:g} allows. Type a larger one, or take the images "
                f"out; segtrain inspect lists them. The last: {error}"
            ) from error

    def _resized(self, image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.image_size is None:
            return image, labels
        return bring_to_size(image, labels, self.image_size, self.dataset.resize, self.dataset.ignore_label)

    def _bytes_per_sample(self) -> int:
        """Returns what a decoded sample takes; where sizes differ, the mean over files that are spread evenly."""
        if self._keeps_own_size:
            sizes = self._own_sizes()
            if self._crops:
                sizes = [largest_part(size, self.image_size).size for size in sizes]
        else:
            sizes = [self.image_size]
        return int(np.prod(sizes, axis=1).mean()) * (self.dataset.channels + 1)

    def _own_sizes(self) -> list[tuple[int, int]]:
        sizes = []
        for index in self._chosen[spread_evenly(len(self), SIZES_CHECKED)]:
            try:
                sizes.append(self._source.sizes(int(index))[0])
            except SAMPLE_ERRORS:
                if self.dataset.on_bad_sample == "fail":
                    raise
        return sizes or [_SIZE_OF_UNREAD]


def _draw_order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)
