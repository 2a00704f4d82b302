"""Cross-entropy over the hardest pixels only."""

from collections.abc import Callable
from typing import Annotated, Any

import tensorflow as tf
from annotated_types import Gt, Le, Lt

from segtrain.training.losses.valid_pixels import cross_entropy_per_pixel, mean_over_valid, valid_pixels


def build_ohem(
    *,
    ignore_label: int,
    threshold: Annotated[float, Gt(0), Lt(1)] = 0.7,
    least_share: Annotated[float, Gt(0), Le(1)] = 0.0625,
) -> Callable[[Any, Any], Any]:
    """Returns cross-entropy averaged over the pixels whose true class has a softmax below `threshold`.

    Where fewer than `least_share` of the valid pixels are so hard, the hardest ones up to that share count (and
    others that are as hard as the last of them). Each replica chooses among its own pixels; the mean is over all.

    Source: Shrivastava et al. 2016, Online Hard Example Mining, https://arxiv.org/abs/1604.03540, on pixels as
    in Yuan et al. 2020, https://arxiv.org/abs/1909.11065, section 4.2.

    Args:
        ignore_label: label of the pixels to leave out.
        threshold: softmax at the true class from which on a pixel is easy, 0..1.
        least_share: of the valid pixels, how many count at least, 0..1.

    Returns:
        The loss; see `segtrain.training.losses`.
    """

    def ohem(labels, logits):
        valid, classes = valid_pixels(labels, ignore_label)
        cross_entropy = cross_entropy_per_pixel(classes, logits)
        costs = tf.sort(
            tf.reshape(tf.where(valid, tf.stop_gradient(cross_entropy), -1.0), (-1,)), direction="DESCENDING"
        )
        num_valid = tf.math.count_nonzero(valid, dtype=tf.float32)
        last = tf.maximum(tf.cast(tf.math.ceil(least_share * num_valid), tf.int32), 1) - 1
        hard_from = tf.minimum(costs[last], -tf.math.log(threshold))
        return mean_over_valid(cross_entropy, valid & (cross_entropy >= hard_from))

    return ohem
