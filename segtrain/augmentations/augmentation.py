"""Random changes of image and mask together, repeatable sample by sample."""

import collections
import copy
import functools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from segtrain.augmentations.four_channels import add_fourth, drop_fourth, gains_from_fourth


class Augmentation:
    """A sequence of albumentations transforms whose randomness is a function of a key.

    The same key gives the same result, whatever the thread and whatever was augmented before. Each transform, nested
    ones too, draws from a stream of its own: with one stream for all, as `Compose(seed=...)` has it, every transform
    sees the same numbers and a horizontal flip always comes with a vertical one.

    Args:
        ignore_label: label for pixels that a transform brings in from outside the image.
        transforms: albumentations transforms by a name of your choice, applied in this order.
        reads: `resized` sees the image at the network's size; `native` sees it at its own and has to bring it to the
            network's, as a random crop does.
        channels: of the images.

    Raises:
        ValueError: a transform is for images of 3 channels, and these have another number.
    """

    def __init__(
        self,
        *,
        ignore_label: int,
        transforms: Mapping[str, Any],
        reads: Literal["resized", "native"] = "resized",
        channels: int = 3,
    ):
        self.reads = reads
        for name, transform in transforms.items():
            _require_channels(name, transform, channels)
        self._transforms = list(transforms.values())
        for transform in self._transforms:
            _fill_with(transform, ignore_label)
        # Transforms hold the random state of the call under way, so each call has copies of its own while it lasts.
        # Nothing is kept by thread: TensorFlow's threads are new ones to Python at every call.
        self._idle: collections.deque[_Copies] = collections.deque()

    def __call__(self, image: np.ndarray, labels: np.ndarray, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Augments one sample.

        Args:
            image: uint8 `(height, width, channels)`.
            labels: uint8 `(height, width)`.
            key: non-negative integers that the result is a function of, such as `(seed, epoch, index)`.

        Returns:
            Image and labels, of a new size where a transform crops or resizes.
        """
        try:
            copies = self._idle.pop()
        except IndexError:
            copies = _Copies(self._transforms)
        try:
            return copies.apply(image, labels, key)
        finally:
            self._idle.append(copies)


class _Copies:
    """Copies of the transforms, each node with random streams of its own. For one call at a time."""

    def __init__(self, transforms: Sequence[Any]):
        self._transforms = copy.deepcopy(transforms)
        self._gains = [gains_from_fourth(transform) for transform in self._transforms]
        nodes = [node for transform in self._transforms for node in _nodes(transform)]
        self._streams = [_PhiloxStream(number) for number in range(2 * len(nodes))]
        for node, for_numpy, for_python in zip(nodes, self._streams[::2], self._streams[1::2], strict=True):
            node.random_generator = for_numpy.generator
            node.py_random = _PythonRandom(for_python.generator)

    def apply(self, image: np.ndarray, labels: np.ndarray, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        *shared, index = key
        words = _philox_key(tuple(shared))
        for stream in self._streams:
            stream.restart(words, index)
        # Called one after another, as a Compose would: its checks of every sample cost more than a small transform.
        for transform, gains in zip(self._transforms, self._gains, strict=True):
            through_fourth = gains and image.shape[2:] == (3,) and image.dtype == np.uint8
            sample = transform(image=add_fourth(image) if through_fourth else image, mask=labels)
            image, labels = drop_fourth(sample["image"]) if through_fourth else sample["image"], sample["mask"]
        return image, labels


@functools.lru_cache(maxsize=16)
def _philox_key(shared: tuple[int, ...]) -> np.ndarray:
    """Returns the two words that all streams of an epoch share."""
    return np.random.SeedSequence(shared).generate_state(2, np.uint64)


class _PhiloxStream:
    """A stream of random numbers that starts again at the place of any sample, at once.

    Philox numbers are a function of a key and a counter of 256 bits. Its second word is the stream's number and its
    third the sample's, so no two ever overlap, and nothing has to be hashed or shuffled to start.
    """

    def __init__(self, number: int):
        self._bits = np.random.Philox()
        self.generator = np.random.Generator(self._bits)
        self._start = {
            "bit_generator": "Philox",
            "state": {"counter": np.array([0, number, 0, 0], np.uint64), "key": None},
            "buffer": np.zeros(4, np.uint64),
            "buffer_pos": 4,  # the buffer is used up: the next number is drawn from the counter
            "has_uint32": 0,
            "uinteger": 0,
        }

    def restart(self, key: np.ndarray, index: int) -> None:
        self._start["state"]["key"] = key
        self._start["state"]["counter"][2] = index
        self._bits.state = self._start


class _PythonRandom(random.Random):
    """Python's interface to a NumPy generator. Its own has 624 words to fill whenever it is seeded."""

    def __init__(self, generator: np.random.Generator):
        super().__init__()
        self._generator = generator

    def random(self) -> float:
        return self._generator.random()

    def getrandbits(self, k: int) -> int:
        num_bytes = -(-k // 8)
        return int.from_bytes(self._generator.bytes(num_bytes), "little") >> (8 * num_bytes - k)

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        return self.normalvariate(mu, sigma)  # Python's keeps every second number for later, across samples


def _nodes(transform: Any) -> Iterator[Any]:
    """Yields the transform and all those nested in it, outermost first."""
    yield transform
    for child in getattr(transform, "transforms", ()):
        yield from _nodes(child)


def _require_channels(name: str, transform: Any, channels: int) -> None:
    """Refuses a transform that works with 3 channels and not with so many: it would fail in the middle of training.

    What fails with 3 as well, on a blank image, may need data that only a real sample has.
    """
    if channels == 3:
        return
    import albumentations  # whoever made the transform has: it takes a second, which a run without any is spared

    for node in (node for node in _nodes(transform) if isinstance(node, albumentations.BasicTransform)):
        failure = _failure_of(node, channels)
        if failure is not None and _failure_of(node, 3) is None:
            raise ValueError(
                f"augmentation.transforms.{name}: {type(node).__name__} cannot change images of {channels} channels "
                f"({failure}) Take it out, or type augmentation=flip or augmentation=flip_crop, which take any."
            )


def _failure_of(transform: Any, channels: int) -> Exception | None:
    trial = copy.deepcopy(transform)
    trial.p = 1.0
    try:
        trial(image=np.full((64, 64, channels), 128, np.uint8), mask=np.zeros((64, 64), np.uint8))
    except Exception as error:  # a transform of anybody's may raise anything
        return error
    return None


def _fill_with(transform: Any, ignore_label: int) -> None:
    """Has pixels from outside the image labelled void: a border that is rotated or padded in has no class.

    Where the transform leaves labels alone (`fill_mask=None`, as CoarseDropout does), it goes on doing so.
    """
    for node in _nodes(transform):
        if getattr(node, "fill_mask", None) is not None:
            node.fill_mask = ignore_label
