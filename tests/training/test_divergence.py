"""What is said of a step that went wrong, against gradients that are known by hand."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.pipeline.samples import Samples
from segtrain.training.callbacks.terminate_on_nan import TerminateOnNaN
from segtrain.training.divergence import describe_step
from segtrain.training.losses.cross_entropy import build_cross_entropy


@pytest.fixture
def training(shapes_dataset):
    return Samples(shapes_dataset, "train", image_size=(32, 32), seed=1)


@pytest.fixture
def model():
    """Logits are `second * (first * image)`, summed over the image's channels."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", name="first")(images)
    return keras.Model(images, keras.layers.Conv2D(5, 1, use_bias=False, kernel_initializer="zeros", name="second")(x))


def test_names_the_images_of_the_step(model, training):
    text = describe_step(model, lambda labels, logits: tf.reduce_mean(logits), training, 4, epoch=3, step=2)
    names = [training.name(index) for index in training.order(3)[8:12]]
    assert text.endswith(f"Images of the step: {', '.join(names)}.")


def test_the_largest_gradient_is_the_one_by_hand(model, training):
    """The second kernel is 0, so the first has no gradient; that of the second is the mean of what it is given."""
    images, _ = training.batch(training.order(0)[:4], epoch=0)
    text = describe_step(
        model, lambda labels, logits: -3 * tf.reduce_mean(logits[..., 2]), training, 4, epoch=0, step=0
    )
    value, path = re.search(r"^The largest gradient is (\S+), of (\S+)\.", text).groups()
    assert path == "second/kernel"
    assert float(value) == pytest.approx(3 * images.astype(float).sum(axis=-1).mean(), rel=0.01)


def test_a_step_of_several_batches_is_looked_at_as_a_whole(model, training):
    parts, whole = (
        describe_step(model, lambda labels, logits: tf.reduce_mean(logits), training, *of_step, epoch=1, step=1)
        for of_step in ((2, 3), (6, 1))
    )
    assert parts == whole
    assert f"Images of the step: {training.name(training.order(1)[6])}, " in parts


def test_a_gradient_that_is_no_number_is_told_from_the_loss_on(model, training):
    text = describe_step(
        model, lambda labels, logits: tf.reduce_sum(tf.sqrt(logits - logits)), training, 4, epoch=0, step=0
    )
    assert "Gradients of second/kernel and 1 other variables are nan." in text


def test_a_network_with_fewer_logits_than_pixels_is_told_of_like_any_other(training):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras.layers.Conv2D(5, 1, strides=2, use_bias=False, name="only")(images))
    text = describe_step(model, build_cross_entropy(ignore_label=255), training, 4, epoch=0, step=0)
    assert re.match(r"The largest gradient is [\d.e+]+, of only/kernel\. Images of the step: ", text)


def test_weights_that_were_spoiled_before_are_told(model, training):
    model.get_layer("first").kernel.assign(np.full((1, 1, 3, 1), np.nan))
    text = describe_step(model, lambda labels, logits: tf.reduce_mean(logits), training, 4, epoch=0, step=0)
    assert text.startswith("first/kernel held no numbers any more before it.")


def test_nothing_of_the_model_changes(build_network, training):
    model = build_network(dropout=0.5)
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    describe_step(model, build_cross_entropy(ignore_label=255), training, 4, epoch=0, step=0)
    for variable, expected in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), expected)


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_the_step_itself_leaves_weights_to_look_at(train, shapes_dataset, strategy):
    """Weights that overflow, put in before the third step."""
    described = []

    class Overflows(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                kernel = self.model.trainable_variables[-2]
                kernel.assign(np.random.default_rng(0).choice([-3e38, 3e38], kernel.shape))

    training = Samples(shapes_dataset, "train", image_size=(32, 32), seed=1)

    def make_callbacks(evaluator):
        overflows = Overflows()

        def of_step(epoch, step):
            loss = build_cross_entropy(ignore_label=255)
            described.append(describe_step(overflows.model, loss, training, 4, epoch=epoch, step=step))
            return described[-1]

        return [overflows, TerminateOnNaN(describe_step=of_step)]

    with pytest.raises(FloatingPointError, match="The loss became (nan|inf) in epoch 1, step 3") as error:
        train(strategy, make_callbacks=make_callbacks)
    assert described[0] in str(error.value)
    assert ", ".join(training.name(index) for index in training.order(0)[8:12]) in described[0]
    assert "held no numbers" not in described[0]
