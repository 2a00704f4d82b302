"""Random changes of image and mask together, repeatable sample by sample."""

import copy
import random
import threading
from collections.abc import Mapping
from typing import Any, Literal

import albumentations
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
        # A Compose holds the random state of the call under way, so each thread has its own.
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
        compose = self._compose()
        _give_private_streams(compose, np.random.SeedSequence(key))
        result = compose(image=image, mask=labels)
        return result["image"], result["mask"]

    def _compose(self) -> albumentations.Compose:
        if not hasattr(self._of_thread, "compose"):
            self._of_thread.compose = albumentations.Compose(copy.deepcopy(self._transforms))
        return self._of_thread.compose


def _fill_with(transform: Any, ignore_label: int) -> None:
    """Has pixels from outside the image labelled void: a border that is rotated or padded in has no class.

    Where the transform leaves labels alone (`fill_mask=None`, as CoarseDropout does), it goes on doing so.
    """
    if getattr(transform, "fill_mask", None) is not None:
        transform.fill_mask = ignore_label
    for child in getattr(transform, "transforms", ()):
        _fill_with(child, ignore_label)


def _give_private_streams(transform, seeds):
    children = getattr(transform, "transforms", ())
    own, *of_children = seeds.spawn(1 + len(children))
    transform.random_generator = np.random.default_rng(own)
    transform.py_random = random.Random(int.from_bytes(own.generate_state(4).tobytes(), "little"))
    for child, child_seeds in zip(children, of_children, strict=True):
        _give_private_streams(child, child_seeds)
