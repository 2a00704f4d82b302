"""What one replica computes in a step."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from segtrain.training.gradients import apply_gradients
from segtrain.training.labels_at_logits import labels_at_logits


def training_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Callable[[Any, Any], Any],
    num_replicas: int,
    forward: Callable[[Any], Any] | None = None,
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns one replica's step: forward, loss, gradients, new weights.

    It takes uint8 images `(batch, height, width, channels)` and labels `(batch, height, width)`, and returns the
    replica's share of the loss and float32 logits `(batch, height', width', classes)` at the size of the network's.
    """

    def step(images, labels):
        loss_share, logits, gradients = batch_gradients(model, optimizer, loss, num_replicas, forward, images, labels)
        apply_gradients(optimizer, model.trainable_variables, gradients, loss_share, num_replicas)
        return loss_share, logits

    return step


def batch_gradients(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Callable[[Any, Any], Any],
    num_replicas: int,
    forward: Callable[[Any], Any] | None,
    images: Any,
    labels: Any,
) -> tuple[Any, Any, list[Any | None]]:
    """Returns the replica's share of the loss, its logits, and the gradients of that share, scaled by the optimizer.

    The gradients of all replicas add up, as the loss shares add up to the loss. `forward` is the model's pass in
    training, from float images to logits, where it is another than the model itself: see `recomputing`.
    """
    with tf.GradientTape() as tape:
        network = forward or functools.partial(model, training=True)
        loss_share, logits = loss_and_logits(network, loss, images, labels)
        objective = optimizer.scale_loss(loss_share + penalty(model) / num_replicas)
    return loss_share, logits, tape.gradient(objective, model.trainable_variables)


def evaluation_step(model: keras.Model, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns one replica's step of scoring, which takes and returns what a `training_step` does."""

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
