"""What one replica computes in a step."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from segtrain.training.labels_at_logits import labels_at_logits


def training_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Callable[[Any, Any], Any], num_replicas: int
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns one replica's step: forward, loss, gradients, new weights.

    It takes uint8 images `(batch, height, width, channels)` and labels `(batch, height, width)`, and returns the
    replica's share of the loss and float32 logits `(batch, height', width', classes)` at the size of the network's.
    """

    def step(images, labels):
        with tf.GradientTape() as tape:
            loss_share, logits = loss_and_logits(model, loss, images, labels, training=True)
            objective = optimizer.scale_loss(loss_share + penalty(model) / num_replicas)
        gradients = tape.gradient(objective, model.trainable_variables)
        # A loss that is no number would spoil every weight, and then nothing tells which gradient it was.
        is_number = tf.math.is_finite(loss_share)
        gradients = [each if each is None else tf.where(is_number, each, tf.zeros_like(each)) for each in gradients]
        # The optimizer adds the gradients of all replicas up, as the loss shares add up to the loss.
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss_share, logits

    return step


def evaluation_step(model: keras.Model, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns one replica's step of scoring, which takes and returns what a `training_step` does."""

    def step(images, labels):
        return loss_and_logits(model, loss, images, labels, training=False)

    return step


def loss_and_logits(
    model: keras.Model, loss: Callable[[Any, Any], Any], images: Any, labels: Any, *, training: bool
) -> tuple[Any, Any]:
    """Returns the loss of a batch, whose labels are taken at the size of the logits, and the logits in float32."""
    logits = tf.cast(model(tf.cast(images, tf.float32), training=training), tf.float32)
    return loss(labels_at_logits(labels, logits), logits), logits


def penalty(model: keras.Model) -> Any:
    """Returns what layers add to the loss, such as weight regularisation: it steers training, and is not reported."""
    return sum(tf.cast(each, tf.float32) for each in model.losses)
