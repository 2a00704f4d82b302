"""Tversky loss: Dice with a say in which mistakes cost more."""

from collections.abc import Callable
from typing import Annotated, Any

from annotated_types import Ge, Gt

from segtrain.training.losses.region_overlap import region_overlap, share_of_mean_loss


def build_tversky(
    *,
    ignore_label: int,
    false_positives: Annotated[float, Ge(0)] = 0.3,
    false_negatives: Annotated[float, Ge(0)] = 0.7,
    smooth: Annotated[float, Gt(0)] = 1.0,
) -> Callable[[Any, Any], Any]:
    """Returns 1 less the Tversky index of softmax and truth, averaged over the classes in the truth.

    With 0.5 and 0.5 it is Dice, with 1 and 1 the Jaccard index (IoU).

    Source: Salehi et al. 2017, https://arxiv.org/abs/1706.05721, equation 3: alpha and beta.

    Args:
        ignore_label: label of the pixels to leave out.
        false_positives: what a pixel wrongly given to a class counts.
        false_negatives: what a pixel of the class that it misses counts; more finds more of small objects.
        smooth: pixels added above and below the line.

    Returns:
        The loss; see `segtrain.training.losses`.
    """

    def tversky(labels, logits):
        sums = region_overlap(labels, logits, ignore_label)
        wrong = false_positives * (sums.predicted - sums.both) + false_negatives * (sums.truth - sums.both)
        return share_of_mean_loss((sums.both + smooth) / (sums.both + wrong + smooth), sums.truth)

    return tversky
