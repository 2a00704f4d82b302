"""What one replica computes in a step."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from segtrain.training.gradients import apply_gradients
from segtrain.training.labels_at_logits import labels_at_logits


@dataclass(frozen=True)
class Learner:
    """What one replica trains, and by what.

    Attributes:
        model: from float images to logits.
        optimizer: built for it.
        loss: see `segtrain.training.losses`.
        num_replicas: how many replicas there are.
        forward: the model's pass in training, from float images to logits, where it is another than the model itself:
            see `recomputing`.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    loss: Callable[[Any, Any], Any]
    num_replicas: int
    forward: Callable[[Any], Any] | None = None

    def step(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Takes a step: forward, loss, gradients, new weights.

        Args:
            images: uint8 `(batch, height, width, channels)`.
            labels: uint8 `(batch, height, width)`.

        Returns:
            The replica's share of the loss and float32 logits `(batch, height', width', classes)` at the size of the
            network's.
        """
        loss_share, logits, gradients = self.gradients(images, labels)
        self.apply(gradients, loss_share)
        return loss_share, logits

    def gradients(self, images: Any, labels: Any) -> tuple[Any, Any, list[Any | None]]:
        """Returns what `step` does, and the gradients of that share of the loss, scaled by the optimizer.

        The gradients of all replicas add up, as the loss shares add up to the loss.
        """
        with tf.GradientTape() as tape:
            network = self.forward or functools.partial(self.model, training=True)
            loss_share, logits = loss_and_logits(network, self.loss, images, labels)
            objective = self.optimizer.scale_loss(loss_share + penalty(self.model) / self.num_replicas)
        return loss_share, logits, tape.gradient(objective, self.model.trainable_variables)

    def apply(self, gradients: Sequence[Any | None], loss_share: Any) -> None:
        """Has the optimizer change the weights; see `apply_gradients`."""
        apply_gradients(self.optimizer, self.model.trainable_variables, gradients, loss_share, self.num_replicas)


def evaluation_step(model: keras.Model, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns one replica's step of scoring, which takes and returns what `Learner.step` does."""

    def step(images, labels):
        return loss_and_logits(functools.partial(model, training=False), loss, images, labels)

    return step


def loss_and_logits(
    network: Callable[[Any], Any], loss: Callable[[Any, Any], Any], images: Any, labels: Any
) -> tuple[Any, Any]:
    """Returns the loss of a batch, whose labels are taken at the size of the logits, and the logits in float32."""
    logits = tf.cast(network(tf.cast(images, tf.float32)), tf.float32)
    return loss(labels_at_logits(labels, logits), logits), logits


def penalty(model: keras.Model) -> Any:
    """Returns what layers add to the loss, such as weight regularisation: it steers training, and is not reported."""
    return sum(tf.cast(each, tf.float32) for each in model.losses)
