"""Cross-entropy over the valid pixels of the global batch."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from segtrain.training.replicas import sum_over_replicas


def build_cross_entropy(*, ignore_label: int) -> Callable[[Any, Any], Any]:
    """Returns the loss `(labels, logits) -> scalar`.

    It is the mean over all valid pixels of the global batch. The mean of per-replica means would weigh a pixel by how
    much void its replica happened to get.

    Args:
        ignore_label: label of the pixels to leave out.

    Returns:
        A function of labels, integer `(batch, height, width)`, and logits, float `(batch, height, width, classes)`,
        that returns this replica's share of the loss in float32: never NaN for finite logits.
    """

    def cross_entropy(labels, logits):
        valid = tf.not_equal(labels, tf.cast(ignore_label, labels.dtype))
        # A void label may lie outside the classes, where the op raises on a CPU and gives NaN elsewhere.
        classes = tf.where(valid, labels, tf.zeros((), labels.dtype))
        per_pixel = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.cast(classes, tf.int32), logits=tf.cast(logits, tf.float32)
        )
        total = tf.reduce_sum(tf.where(valid, per_pixel, 0.0))
        num_valid = sum_over_replicas(tf.reduce_sum(tf.cast(valid, tf.float32)))
        return total / tf.maximum(num_valid, 1.0)

    return cross_entropy
