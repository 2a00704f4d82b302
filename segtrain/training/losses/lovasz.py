"""Lovász-softmax: IoU itself, made differentiable."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from segtrain.training.losses.valid_pixels import valid_pixels
from segtrain.training.replicas import sum_over_replicas


def build_lovasz(*, ignore_label: int) -> Callable[[Any, Any], Any]:
    """Returns the Lovász extension of 1 less the IoU, averaged over the classes in the truth of the batch.

    It sorts the pixels of each class, so it takes longer than the others; it is mostly used for the last epochs, or
    beside cross-entropy. With several replicas each sorts its own pixels, and the losses are averaged by their valid
    pixels: IoU does not add up, so this is not the loss of the global batch to the digit.

    Source: Berman et al. 2018, The Lovász-Softmax Loss, https://arxiv.org/abs/1705.08790, equation 11, "present".

    Args:
        ignore_label: label of the pixels to leave out.

    Returns:
        The loss; see `segtrain.training.losses`.
    """

    def lovasz(labels, logits):
        valid, classes = valid_pixels(labels, ignore_label)
        num_classes = logits.shape[-1]
        softmax = tf.reshape(tf.nn.softmax(tf.cast(logits, tf.float32)), (-1, num_classes))
        valid = tf.reshape(valid, (-1, 1))
        truth = tf.one_hot(tf.where(valid[:, 0], tf.reshape(classes, (-1,)), -1), num_classes)
        # A void pixel has no error: it is sorted last and weighs nothing there.
        errors = tf.transpose(tf.where(valid, tf.abs(truth - softmax), 0.0))
        order = tf.argsort(tf.stop_gradient(errors), direction="DESCENDING", stable=True)
        errors = tf.gather(errors, order, batch_dims=1)
        truth = tf.gather(tf.transpose(truth), order, batch_dims=1)
        of_class = tf.reduce_sum(errors * tf.stop_gradient(_jaccard_steps(truth)), axis=1)
        present = tf.cast(tf.reduce_any(truth > 0, axis=1), tf.float32)
        loss = tf.math.divide_no_nan(tf.reduce_sum(of_class * present), tf.reduce_sum(present))
        num_valid = tf.math.count_nonzero(valid, dtype=tf.float32)
        return loss * tf.math.divide_no_nan(num_valid, sum_over_replicas(num_valid))

    return lovasz


def _jaccard_steps(truth):
    """Returns by how much each further pixel, float `(classes, pixels)` in falling order of error, adds to the loss."""
    missed = tf.cumsum(truth, axis=1)
    wrong = tf.cumsum(1 - truth, axis=1)
    pixels_of_class = missed[:, -1:]
    jaccard_loss = 1 - tf.math.divide_no_nan(pixels_of_class - missed, pixels_of_class + wrong)
    return jaccard_loss - tf.pad(jaccard_loss, ((0, 0), (1, 0)))[:, :-1]
