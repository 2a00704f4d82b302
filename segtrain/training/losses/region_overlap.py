"""How softmax and truth overlap, class by class, over the global batch."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from segtrain.training.losses.valid_pixels import valid_pixels
from segtrain.training.replicas import sum_over_replicas


@dataclass(frozen=True)
class RegionOverlap:
    """Sums over the valid pixels of the global batch, float32 `(classes,)` each.

    Attributes:
        both: the softmax where the class is the true one.
        predicted: the softmax.
        truth: pixels of the class.
    """

    both: Any
    predicted: Any
    truth: Any


def region_overlap(labels: Any, logits: Any, ignore_label: int) -> RegionOverlap:
    """Returns the sums for labels, integer `(batch, height, width)`, and logits `(batch, height, width, classes)`."""
    valid, classes = valid_pixels(labels, ignore_label)
    softmax = tf.where(valid[..., None], tf.nn.softmax(tf.cast(logits, tf.float32)), 0.0)
    truth = tf.one_hot(tf.where(valid, classes, -1), logits.shape[-1])
    sums = tf.stack([tf.reduce_sum(each, axis=(0, 1, 2)) for each in (softmax * truth, softmax, truth)])
    both, predicted, truth = tf.unstack(sum_over_replicas(sums))
    return RegionOverlap(both, predicted, truth)


def share_of_mean_loss(score: Any, truth: Any) -> Any:
    """Returns this replica's share of 1 less the mean score of the classes in the truth; zero where there are none.

    Every replica knows the sums over all of them, so each one's share is an equal part.

    Args:
        score: float32 `(classes,)`, 1 where softmax and truth agree.
        truth: pixels of each class, float32 `(classes,)`.
    """
    present = tf.cast(truth > 0, tf.float32)
    loss = tf.math.divide_no_nan(tf.reduce_sum(present * (1 - score)), tf.reduce_sum(present))
    return loss / tf.cast(tf.distribute.get_replica_context().num_replicas_in_sync, tf.float32)
