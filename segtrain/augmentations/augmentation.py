"""Random changes of image and mask together, repeatable sample by sample."""

import copy
import random
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np


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
    """

    def __init__(
        self,
        *,
        ignore_label: int,
        transforms: Mapping[str, Any],
        reads: Literal["resized", "native"] = "resized",
    ):
        self.reads = reads
        self._transforms = list(transforms.values())
        for transform in self._transforms:
            _fill_with(transform, ignore_label)
        # Transforms hold the random state of the call under way, so each thread has its own copies.
        self._of_thread = threading.local()

    def __call__(self, image: np.ndarray, labels: np.ndarray, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Augments one sample.

        Args:
            image: uint8 `(height, width, channels)`.
            labels: uint8 `(height, width)`.
            key: non-negative integers that the result is a function of, such as `(seed, epoch, index)`.

        Returns:
            Image and labels, of a new size where a transform crops or resizes.
        """
        transforms, streams = self._copies_of_thread()
        words = np.random.SeedSequence(key).generate_state(len(streams) * _PrivateStream.WORDS, np.uint64)
        for stream, own_words in zip(streams, words.reshape(len(streams), _PrivateStream.WORDS), strict=True):
            stream.restart(own_words)
        # Called one after another, as a Compose would: its checks of every sample cost more than a small transform.
        sample = {"image": image, "mask": labels}
        for transform in transforms:
            sample = transform(**sample)
        return sample["image"], sample["mask"]

    def _copies_of_thread(self) -> tuple[list[Any], list["_PrivateStream"]]:
        if not hasattr(self._of_thread, "copies"):
            transforms = copy.deepcopy(self._transforms)
            streams = [_PrivateStream(node) for transform in transforms for node in _nodes(transform)]
            self._of_thread.copies = transforms, streams
        return self._of_thread.copies


class _PrivateStream:
    """The random numbers of one transform. Restarting costs a tenth of making new generators."""

    # 64-bit words that a restart takes: two are Philox's key, one seeds Python's generator.
    WORDS = 3

    def __init__(self, transform: Any):
        self._bits = np.random.Philox()
        self._python = random.Random()
        transform.random_generator = np.random.Generator(self._bits)
        transform.py_random = self._python

    def restart(self, words: np.ndarray) -> None:
        self._bits.state = {
            "bit_generator": "Philox",
            "state": {"counter": np.zeros(4, np.uint64), "key": words[:2]},
            "buffer": np.zeros(4, np.uint64),
            "buffer_pos": 4,  # the buffer is used up: the next number is drawn from the counter
            "has_uint32": 0,
            "uinteger": 0,
        }
        self._python.seed(int(words[2]))


def _nodes(transform: Any) -> Iterator[Any]:
    """Yields the transform and all those nested in it, outermost first."""
    yield transform
    for child in getattr(transform, "transforms", ()):
        yield from _nodes(child)


def _fill_with(transform: Any, ignore_label: int) -> None:
    """Has pixels from outside the image labelled void: a border that is rotated or padded in has no class.

    Where the transform leaves labels alone (`fill_mask=None`, as CoarseDropout does), it goes on doing so.
    """
    for node in _nodes(transform):
        if getattr(node, "fill_mask", None) is not None:
            node.fill_mask = ignore_label
