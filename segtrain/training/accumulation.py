"""A step of several batches, for the gradients of a larger one than memory holds."""

from typing import Any

import tensorflow as tf

from segtrain.training.labels_at_logits import labels_at_logits
from segtrain.training.replicas import sum_over_replicas, variable_of_shares
from segtrain.training.step import Learner

# Of a batch that is void all over: next to nothing beside others, and still a mean where all of the step's are.
LEAST_WEIGHT = 1e-6


class Accumulation:
    """Adds up the gradients of a step's batches, then has the optimizer take one step.

    Each batch's loss and gradients are weighed by its valid pixels, over all replicas, or by what the loss says it
    averages by: so the sum is the mean over the pixels of the step, and not a mean of means. Where a loss has no such
    mean (Dice, Tversky, Lovász, OHEM) it is taken of each batch. BatchNorm sees each batch by itself, and moves its
    averages once for each. Images that fill no step are left out of an epoch, as they are with the larger batch.

    Nothing of it has to be saved: between two steps it is empty. Has to be made under the strategy's scope.

    Args:
        learner: whose batches these are.
        ignore_label: label of the pixels that do not count.
    """

    def __init__(self, learner: Learner, ignore_label: int):
        self._learner = learner
        self._ignore_label = ignore_label
        # Each replica adds up its own: they are summed over the replicas once a step, and not once a batch.
        variables = learner.model.trainable_variables
        self._gradients = [variable_of_shares(tf.zeros(variable.shape)) for variable in variables]
        self._loss_share, self._weight = (variable_of_shares(tf.zeros(())) for _ in range(2))
        self._has_gradient: list[bool] = []

    def add(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Takes and returns what `Learner.step` does, and keeps the gradients."""
        loss_share, logits, gradients = self._learner.gradients(images, labels)
        labels = labels_at_logits(labels, logits)
        weight = tf.maximum(sum_over_replicas(self._own_weight(labels)), LEAST_WEIGHT)
        self._has_gradient = [each is not None for each in gradients]
        for total, gradient in zip(self._gradients, gradients, strict=True):
            if gradient is not None:
                total.assign_add(weight * gradient)
        self._loss_share.assign_add(weight * loss_share)
        self._weight.assign_add(weight)
        return loss_share, logits

    def step(self) -> Any:
        """Takes the optimizer's step, and returns the replica's share of the loss over the batches since the last."""
        loss_share = self._loss_share / self._weight
        gradients = [
            total / self._weight if has_gradient else None
            for total, has_gradient in zip(self._gradients, self._has_gradient, strict=True)
        ]
        self._learner.apply(gradients, loss_share)
        for total in (*self._gradients, self._loss_share, self._weight):
            total.assign(tf.zeros_like(total))
        return loss_share

    def _own_weight(self, labels):
        weigh = getattr(self._learner.loss, "weight", None)
        if weigh is not None:
            return weigh(labels)
        return tf.math.count_nonzero(labels != tf.cast(self._ignore_label, labels.dtype), dtype=tf.float32)
