"""Cross-entropy over the valid pixels of the global batch."""

from collections.abc import Callable
from typing import Any

from segtrain.training.losses.valid_pixels import cross_entropy_per_pixel, mean_over_valid, valid_pixels


def build_cross_entropy(*, ignore_label: int) -> Callable[[Any, Any], Any]:
    """Returns the loss `(labels, logits) -> scalar`: the mean over all valid pixels of the global batch.

    Args:
        ignore_label: label of the pixels to leave out.

    Returns:
        A function of labels, integer `(batch, height, width)`, and logits, float `(batch, height, width, classes)`,
        that returns this replica's share of the loss in float32: never NaN for finite logits.
    """

    def cross_entropy(labels, logits):
        valid, classes = valid_pixels(labels, ignore_label)
        return mean_over_valid(cross_entropy_per_pixel(classes, logits), valid)

    return cross_entropy
