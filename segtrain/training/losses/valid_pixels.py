"""Which pixels count, and averages over those of the global batch."""

from typing import Any

import tensorflow as tf

from segtrain.training.replicas import sum_over_replicas


def valid_pixels(labels: Any, ignore_label: int) -> tuple[Any, Any]:
    """Returns where labels are no void, bool, and the classes, int32 with 0 at void; both of the labels' shape.

    A void label may lie outside the classes, where TensorFlow's ops raise on a CPU and give NaN elsewhere.
    """
    valid = tf.not_equal(labels, tf.cast(ignore_label, labels.dtype))
    return valid, tf.where(valid, tf.cast(labels, tf.int32), 0)


def cross_entropy_per_pixel(classes: Any, logits: Any) -> Any:
    """Returns minus the log of the softmax at each pixel's class, float32 `(batch, height, width)`."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=tf.cast(logits, tf.float32))


def mean_over_valid(cost: Any, valid: Any) -> Any:
    """Returns this replica's share of the mean of `cost` over all valid pixels of the global batch.

    The mean of per-replica means would weigh a pixel by how much void its replica happened to get.

    Args:
        cost: float32 `(batch, height, width)`.
        valid: bool of the same shape.

    Returns:
        A float32 scalar, zero where no pixel of the global batch is valid.
    """
    num_valid = sum_over_replicas(tf.math.count_nonzero(valid, dtype=tf.float32))
    return tf.math.divide_no_nan(tf.reduce_sum(tf.where(valid, cost, 0.0)), num_valid)
