"""What a network with ReLU and pooling computes on two devices differs from one device by rounding alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.models.segnet_small import build_segnet_small
from segtrain.training import step
from segtrain.training.labels_at_logits import labels_at_logits
from segtrain.training.replicas import sum_over_replicas

VOID = 255


class Steps(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def build_in_float64():
    model = build_segnet_small(num_classes=5, channels=3, width=4, dropout=0.0)
    return keras.models.clone_model(
        model, clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"dtype": "float64"})
    )


def cross_entropy_in_float64(labels, logits):
    valid = labels != VOID
    classes = tf.where(valid, tf.cast(labels, tf.int32), 0)
    of_pixels = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
    num_valid = sum_over_replicas(tf.math.count_nonzero(valid, dtype=tf.float64))
    return tf.reduce_sum(tf.where(valid, of_pixels, tf.zeros_like(of_pixels))) / num_valid


def loss_and_logits_in_float64(network, loss, images, labels):
    logits = network(tf.cast(images, tf.float64))
    return loss(labels_at_logits(labels, logits), logits), logits


@pytest.mark.long
def test_in_float64_two_devices_train_as_one(train, monkeypatch):
    """In float32 the losses of these 30 steps come to differ by a tenth: not because of the devices.

    One device against itself, with the images of each batch in another order, differs as much there: behind a ReLU or a
    maximum, rounding decides between values that are nearly equal. It does so here, too, a billion times more rarely.
    """
    monkeypatch.setattr(step, "loss_and_logits", loss_and_logits_in_float64)
    losses = []
    for strategy in ("one", "mirrored"):
        steps = Steps()
        run = train(strategy, network=build_in_float64, loss=cross_entropy_in_float64, epochs=5, callbacks=[steps])
        assert {variable.dtype for variable in run.model.trainable_variables} == {"float64"}
        losses.append(steps.losses)
    expected, received = losses
    assert len(expected) == 30
    assert expected[-1] < 0.6 * expected[0]
    np.testing.assert_allclose(received, expected, rtol=1e-9)
