"""Focal loss: cross-entropy that looks away from pixels that are easy already."""

from collections.abc import Callable
from typing import Annotated, Any

import tensorflow as tf
from annotated_types import Ge

from segtrain.training.losses.valid_pixels import cross_entropy_per_pixel, mean_over_valid, valid_pixels


def build_focal(*, ignore_label: int, gamma: Annotated[float, Ge(0)] = 2.0) -> Callable[[Any, Any], Any]:
    """Returns `(1 - p) ** gamma * -log(p)`, with `p` the softmax at the true class, averaged over the valid pixels.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4, https://arxiv.org/abs/1708.02002,
    for several classes.

    Args:
        ignore_label: label of the pixels to leave out.
        gamma: how far to look away; 0 is plain cross-entropy.

    Returns:
        The loss; see `segtrain.training.losses`.
    """

    def focal(labels, logits):
        valid, classes = valid_pixels(labels, ignore_label)
        cross_entropy = cross_entropy_per_pixel(classes, logits)
        # 1 - p without cancellation, and never 0, where the gradient of a power below 1 is infinite.
        doubt = tf.maximum(-tf.math.expm1(-cross_entropy), 1e-7)
        return mean_over_valid(doubt**gamma * cross_entropy, valid)

    return focal
