import dataclasses
import time

import keras
import numpy as np
import pytest

from segtrain.benchmarks.run_throughput import Run, measure_run, measure_xla
from segtrain.datasets.shapes import build_shapes
from segtrain.machine import usable_cores
from segtrain.pipeline.samples import Samples
from segtrain.training.evaluator import Evaluator
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.trainer import Trainer

BATCH_SIZE, STEPS = 4, 3


class Counts(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = self.batches = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


class StopsAtOnce(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


class SlowSplit:
    """Takes its time for every sample."""

    def __init__(self, split, seconds):
        self._split, self._seconds = split, seconds

    def __getattr__(self, name):
        return getattr(self._split, name)

    def __len__(self):
        return len(self._split)

    def read(self, index):
        time.sleep(self._seconds)
        return self._split.read(index)


class Sleeps(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.1)


def make_run(callbacks=(), jit="auto", steps=STEPS, seconds_per_sample=0.0):
    dataset = build_shapes(num_train=BATCH_SIZE * steps, num_val=BATCH_SIZE, cache="none")
    slow = {name: SlowSplit(split, seconds_per_sample) for name, split in dataset.splits.items()}
    dataset = dataclasses.replace(dataset, splits=slow)
    training, validation = (Samples(dataset, split, image_size=(32, 32)) for split in ("train", "val"))
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, keras.layers.Conv2D(dataset.num_classes, 3, padding="same")(x))
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(model.trainable_variables)
    trainer, loss = Trainer(jit=jit), build_cross_entropy(ignore_label=dataset.ignore_label)
    evaluator = Evaluator(trainer, model, loss, validation, BATCH_SIZE)
    return Run(trainer, model, optimizer, loss, training, evaluator, BATCH_SIZE, callbacks)


@pytest.mark.parametrize("jit", [False, True])
def test_all_parts_of_a_run_are_measured(jit):
    counts = Counts()
    figures = measure_run(make_run([counts, StopsAtOnce()], jit), rounds=2)
    # The real loop ran, with its callbacks; the first epoch is not counted.
    assert (counts.epochs, counts.batches) == (7, 7 * STEPS)
    assert len(figures) == 10
    assert all(
        0 < figure.low <= figure.median <= figure.high for name, figure in figures.items() if name != "data_wait"
    )
    assert 0 <= figures["data_wait"].low <= figures["data_wait"].high <= 1
    # Two convolutions of 3x3, a multiply-add counted as two; the images need no gradient.
    first, second = 2 * 9 * 3 * 8 * 32 * 32, 2 * 9 * 8 * 5 * 32 * 32
    expected = 2 * first + 3 * second
    assert expected <= figures["flops_per_image"].median <= 1.2 * expected
    achieved = figures["flops_per_image"].median * figures["step_images_per_second"].median
    np.testing.assert_allclose(figures["achieved_flops_per_second"].median, achieved)


def test_a_run_that_waits_for_its_data_goes_as_fast_as_they_come():
    """A reader that sleeps gives its rate away: as many samples at once as there are cores, one sleep each."""
    seconds, steps = 0.02, 24
    figures = measure_run(make_run(steps=steps, seconds_per_sample=seconds), rounds=1)
    # However busy the machine is, no sleep ends early, and the bare step reads nothing.
    fastest = usable_cores() / seconds
    assert figures["pipeline_images_per_second"].median <= 1.02 * fastest
    assert figures["loop_images_per_second"].median <= 1.02 * fastest
    assert figures["step_images_per_second"].median > figures["loop_images_per_second"].median
    assert figures["data_wait"].median > 0.25


def test_what_callbacks_take_counts_for_the_loop_and_not_for_the_step():
    figures = measure_run(make_run([Sleeps()], steps=8), rounds=1)
    assert figures["loop_images_per_second"].high <= BATCH_SIZE / 0.1
    assert figures["step_images_per_second"].median > figures["loop_images_per_second"].median


@pytest.mark.parametrize("steps", [1, 2])
def test_epochs_of_a_step_or_two_are_measured_too(steps):
    figures = measure_run(make_run(steps=steps), rounds=1)
    assert 0 < figures["loop_images_per_second"].median < 1e6
    assert figures["data_wait"].high < 1


def test_xla_is_compared_with_the_graph():
    figures = measure_xla(make_run(), rounds=1)
    assert list(figures) == ["xla_over_graph"]
    assert figures["xla_over_graph"].median > 0
