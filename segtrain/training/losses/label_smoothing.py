"""Cross-entropy against labels that leave some doubt."""

from collections.abc import Callable
from typing import Annotated, Any

import tensorflow as tf
from annotated_types import Ge, Lt

from segtrain.training.losses.valid_pixels import mean_over_valid, valid_pixels


def build_label_smoothing(
    *, ignore_label: int, smoothing: Annotated[float, Ge(0), Lt(1)] = 0.1
) -> Callable[[Any, Any], Any]:
    """Returns cross-entropy against `1 - smoothing` at the true class and `smoothing` spread over all classes.

    Source: Szegedy et al. 2016, Rethinking the Inception Architecture, section 7, https://arxiv.org/abs/1512.00567.

    Args:
        ignore_label: label of the pixels to leave out.
        smoothing: share of the target that is spread evenly; 0 is plain cross-entropy.

    Returns:
        The loss; see `segtrain.training.losses`.
    """

    def label_smoothing(labels, logits):
        valid, classes = valid_pixels(labels, ignore_label)
        log_softmax = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        of_truth = tf.gather(log_softmax, classes, axis=-1, batch_dims=3)
        cost = -(1 - smoothing) * of_truth - smoothing * tf.reduce_mean(log_softmax, axis=-1)
        return mean_over_valid(cost, valid)

    return label_smoothing
