"""Trains 30 steps or more of SGD on shapes, and writes what came of it.

python train_in_process.py STRATEGY FILE BATCH_SIZE [ACCUMULATE NORMALISED]
"""

import math
import os
import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from segtrain.datasets.shapes import build_shapes
from segtrain.pipeline.samples import Samples
from segtrain.training.callbacks.history import History
from segtrain.training.evaluator import Evaluator
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.optimizers import build_sgd
from segtrain.training.trainer import Trainer


class Steps(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def build_network(is_normalised):
    """A smooth network: behind a ReLU, rounding decides between values that are nearly equal."""
    images = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(images)
    for _ in range(2):
        x = layers.Conv2D(4, 3, padding="same")(x)
        x = layers.BatchNormalization(momentum=0.9)(x) if is_normalised else x
        x = layers.Activation("tanh")(x)
    return keras.Model(images, layers.Conv2D(5, 1)(x))


def train(strategy, path, batch_size, accumulate="1", normalised="1"):
    batch_size, accumulate = int(batch_size), int(accumulate)
    if strategy == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    trainer, steps, history = (
        Trainer(strategy=strategy, accumulate=accumulate, wait_for_workers=60.0),
        Steps(),
        History(),
    )
    keras.utils.set_random_seed(1)
    with trainer.scope():
        model = build_network(int(normalised))
        optimizer = build_sgd(learning_rate=0.1, weight_decay=0.01)
    # 9 validation images make no whole number of batches of 4 or 6, and the last one leaves a worker with void alone.
    dataset = build_shapes(num_train=24, num_val=9)
    training, validation = (Samples(dataset, split, image_size=(32, 32), seed=1) for split in ("train", "val"))
    loss = build_cross_entropy(ignore_label=dataset.ignore_label)
    evaluator = Evaluator(trainer, model, loss, validation, batch_size)
    same_weights = evaluator.run().confusion_matrix
    trainer.fit(
        model,
        optimizer=optimizer,
        loss=loss,
        training=training,
        evaluator=evaluator,
        batch_size=batch_size,
        epochs=math.ceil(30 / (24 // (batch_size * accumulate))),
        callbacks=[history, steps],
    )
    names = [name for name in history.epochs[0] if name not in ("images_per_second", "data_wait", "seconds")]
    np.savez(
        path,
        losses=steps.losses,
        metrics=[[epoch[name] for name in names] for epoch in history.epochs],
        confusion=same_weights,
        weights=np.concatenate([np.ravel(weights) for weights in model.get_weights()]),
        rate=np.median([epoch["images_per_second"] for epoch in history.epochs[1:]]),
    )
    # The others may still need this one to answer; Python's own end waits for TensorFlow's threads.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    train(*sys.argv[1:])
