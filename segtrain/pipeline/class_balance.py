"""How often each class is there, and weights that have rare classes count as much as frequent ones."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segtrain.in_threads import READ_AHEAD, map_in_threads
from segtrain.machine import usable_cores
from segtrain.pipeline.counting import count_values
from segtrain.pipeline.samples import Samples

WeightRule = Literal["median_frequency", "inverse", "effective_number"]


@dataclass(frozen=True)
class ClassBalance:
    """Counts over the masks of a split.

    Attributes:
        class_pixels: int64 `(classes,)`, pixels of each class.
        pixels_of_images: int64 `(classes,)`, all pixels of the images that have at least one pixel of the class.
        pixels: all pixels, void ones included.
        images: how many images there are.
    """

    class_pixels: np.ndarray
    pixels_of_images: np.ndarray
    pixels: int
    images: int


# Counts the training split when it is called.
CountsClasses = Callable[[], ClassBalance]
# Takes a line for the user.
TellsLine = Callable[[str], None]


def count_classes(samples: Samples, track: Callable[[Iterable], Iterable] = iter) -> ClassBalance:
    """Reads the masks of all samples, at their own size and in several threads, and counts their classes.

    Args:
        samples: the samples.
        track: follows an iterable of as many items as there are samples, to show how far it is.

    Raises:
        BadSampleError: a mask cannot be read, or training could not use it.
    """
    class_pixels, pixels_of_images = np.zeros((2, samples.dataset.num_classes), np.int64)
    pixels = 0
    read = map_in_threads(
        lambda index: count_values(samples.own_size_labels(index)),
        range(len(samples)),
        num_threads=usable_cores(),
        most_waiting=READ_AHEAD,
    )
    for counts in track(read):
        of_classes = counts[: len(class_pixels)]
        class_pixels += of_classes
        pixels_of_images[of_classes > 0] += counts.sum()
        pixels += int(counts.sum())
    return ClassBalance(class_pixels, pixels_of_images, pixels, len(samples))


def weights_by_rule(rule: WeightRule, balance: ClassBalance, *, beta: float = 0.99) -> np.ndarray:
    """Returns a weight for each class that has pixels, and 0 for the others.

    `median_frequency`: see `median_frequency_weights`.

    `inverse`: the mean number of pixels of a class over the class's own, so that all classes weigh the same in total.

    `effective_number`: inverse to the effective number of samples, `(1 - beta ** n) / (1 - beta)`, and scaled to a mean
    of 1. Of a class, n is counted in whole images: its pixels over the mean pixels of an image. With n in pixels, of
    which nearly all say what their neighbours said, every class would weigh the same for any usual beta. A class that
    fills many more than `1 / (1 - beta)` images counts as one that fills as many; below that it is as `inverse`.
    Source: Cui et al. 2019, Class-Balanced Loss, https://arxiv.org/abs/1901.05555, equations 2 to 4.

    Args:
        rule: which.
        balance: counts of the split that is trained on.
        beta: of `effective_number`, between 0 and 1.

    Returns:
        Weights by class id, float64 `(classes,)`.
    """
    weights = np.zeros(len(balance.class_pixels))
    present = balance.class_pixels > 0
    class_pixels = balance.class_pixels[present]
    if not present.any():
        return weights
    if rule == "median_frequency":
        weights[present] = median_frequency_weights(balance.class_pixels, balance.pixels_of_images)[present]
    elif rule == "inverse":
        weights[present] = class_pixels.mean() / class_pixels
    else:
        whole_images = class_pixels / (balance.pixels / balance.images)
        of_classes = (1 - beta) / -np.expm1(whole_images * np.log(beta))
        weights[present] = of_classes / of_classes.mean()
    return weights


def require_weights(weights: Sequence[float], class_names: Sequence[str]) -> np.ndarray:
    """Returns weights that a user lists, as float64 `(classes,)`.

    Raises:
        ValueError: it is not one number for each class, or none is above zero.
    """
    if len(weights) != len(class_names):
        raise ValueError(
            f"loss.weights needs one number for each of the {len(class_names)} classes, in this order: "
            f"{', '.join(class_names)}. Received {len(weights)}: {list(weights)}."
        )
    found = np.asarray(weights, np.float64)
    if not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise ValueError(
            f"loss.weights needs numbers of 0 or more, and at least one above 0. Received: {list(weights)}."
        )
    return found


def describe_weights(class_names: Sequence[str], weights: np.ndarray) -> str:
    """Returns `name weight` of each class, on one line."""
    return ", ".join(f"{name} {weight:.3g}" for name, weight in zip(class_names, weights, strict=True))


def median_frequency_weights(class_pixels: np.ndarray, pixels_of_images: np.ndarray) -> np.ndarray:
    """Returns the median of the classes' frequencies over each class's own frequency.

    A class's frequency is its pixels over all pixels of the images that have it, void ones included: "the total number
    of pixels in images where c is present". Void itself has no frequency, and so no part in the median.
    Source: Eigen and Fergus 2015, https://arxiv.org/abs/1411.4734, section 6.3.2, which SegNet follows
    (https://arxiv.org/abs/1511.00561, section 3.1). SegNet's published table for CamVid has void for a twelfth class,
    which moves the median, and with it every weight.

    Args:
        class_pixels: int64 `(classes,)`, pixels of each class.
        pixels_of_images: int64 `(classes,)`, all pixels of the images that have at least one pixel of the class.

    Returns:
        Weights by class id, float64 `(classes,)`; NaN for a class that no image has.
    """
    present = class_pixels > 0
    weights = np.full(len(class_pixels), np.nan)
    if present.any():
        frequencies = class_pixels[present] / pixels_of_images[present]
        weights[present] = np.median(frequencies) / frequencies
    return weights
