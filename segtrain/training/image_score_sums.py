"""Scores of each image on the device, added up."""

from typing import Any

import numpy as np
import tensorflow as tf

from segtrain.training.replicas import sum_over_replicas, variable_of_sums
from segtrain.training.scores import NUM_MEANS


class ImageScoreSums:
    """Adds up the scores of each image, over batches and replicas, and of how many images each has a value.

    The scores are those of `scores_of`, in the order of `mean_of_sums`; memory does not grow with the number of
    images. Create it under `strategy.scope()`; `update` runs inside `strategy.run`, the rest outside.

    Args:
        num_classes: classes.
    """

    def __init__(self, num_classes: int):
        self._sum, self._count = (variable_of_sums(tf.zeros(NUM_MEANS + num_classes, tf.float64)) for _ in range(2))

    def update(self, confusion_matrices: Any) -> None:
        """Adds the images of a batch. One of nothing but void has no score, and counts nowhere.

        Args:
            confusion_matrices: integer `(batch, classes, classes)`; true class by row, predicted by column.
        """
        counts = tf.cast(confusion_matrices, tf.float64)
        right, truth, predicted = tf.linalg.diag_part(counts), tf.reduce_sum(counts, 2), tf.reduce_sum(counts, 1)
        valid, iou = tf.reduce_sum(truth, 1), _ratio(right, truth + predicted - right)
        values = [
            _mean(iou),
            _ratio(tf.reduce_sum(right, 1), valid),
            _mean(_ratio(right, truth)),
            _ratio(tf.reduce_sum(_or_zero(iou) * truth, 1), valid),
            _mean(_ratio(2 * right, truth + predicted)),
        ]
        values = tf.concat([tf.stack(values, axis=1), iou], axis=1)
        self._sum.assign_add(sum_over_replicas(tf.reduce_sum(_or_zero(values), 0)))
        have_one = tf.reduce_sum(1 - tf.cast(tf.math.is_nan(values), tf.float64), 0)
        self._count.assign_add(sum_over_replicas(have_one))

    @property
    def variables(self) -> list[tf.Variable]:
        """What it adds up in."""
        return [self._sum, self._count]

    def reset(self) -> None:
        """Forgets all images."""
        self._sum.assign(tf.zeros_like(self._sum))
        self._count.assign(tf.zeros_like(self._count))

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the sums of all replicas and the number of images each has, float64 `(5 + classes,)`."""
        return self._sum.read_value().numpy(), self._count.read_value().numpy()


def _ratio(part, whole):
    return tf.where(whole > 0, tf.math.divide_no_nan(part, whole), tf.constant(np.nan, tf.float64))


def _or_zero(values):
    return tf.where(tf.math.is_nan(values), tf.zeros_like(values), values)


def _mean(values):
    return _ratio(tf.reduce_sum(_or_zero(values), 1), tf.reduce_sum(1 - tf.cast(tf.math.is_nan(values), tf.float64), 1))
