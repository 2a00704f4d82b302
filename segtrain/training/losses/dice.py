"""Soft Dice loss."""

from collections.abc import Callable
from typing import Annotated, Any

from annotated_types import Gt

from segtrain.training.losses.region_overlap import region_overlap, share_of_mean_loss


def build_dice(*, ignore_label: int, smooth: Annotated[float, Gt(0)] = 1.0) -> Callable[[Any, Any], Any]:
    """Returns 1 less the Dice coefficient of softmax and truth, averaged over the classes in the truth.

    Each class counts alike, however few pixels it has, which is what it is for. The sums go over all valid pixels of
    the global batch: a mean of per-image coefficients would be ruled by images that hold a trace of a class.

    Source: Milletari et al. 2016, V-Net, section 3, https://arxiv.org/abs/1606.04797, with plain sums below the line.

    Args:
        ignore_label: label of the pixels to leave out.
        smooth: pixels added above and below the line, so that a class of a few pixels does not jump.

    Returns:
        The loss; see `segtrain.training.losses`.
    """

    def dice(labels, logits):
        sums = region_overlap(labels, logits, ignore_label)
        score = (2 * sums.both + smooth) / (sums.predicted + sums.truth + smooth)
        return share_of_mean_loss(score, sums.truth)

    return dice
