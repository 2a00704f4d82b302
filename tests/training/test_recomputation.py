"""Computing activations once more changes no number: against the model's own forward pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.models.segnet_small import build_segnet_small
from segtrain.training.recomputation import recomputing


@pytest.fixture(scope="module")
def with_skips(two_devices):
    def build():
        """Has dropout in two places, a layer with several outputs, a skip, and BatchNorm."""
        images = keras.Input((None, None, 3))
        x = skip = keras.layers.Rescaling(1 / 255)(images)
        for _ in range(2):
            x = keras.layers.Conv2D(4, 3, padding="same", kernel_regularizer=keras.regularizers.L2(0.01))(x)
            x = keras.layers.BatchNormalization(momentum=0.9)(x)
            x = keras.layers.Activation("tanh")(x)
            x = keras.layers.Dropout(0.3)(x)
            x = keras.layers.Concatenate()([x, skip])
        return keras.Model(images, keras.layers.Conv2D(5, 1)(x))

    return build


ADDED_UP = {"precision": "mixed_float16", "of_trainer": {"accumulate": 2}, "batch_size": 2}


@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        pytest.param("one", {}, id="one"),
        pytest.param("mirrored", {}, id="two devices", marks=pytest.mark.long),
        pytest.param("mirrored", ADDED_UP, id="scaled and added up", marks=pytest.mark.long),
        pytest.param("one", {"of_trainer": {"jit": True}}, id="xla", marks=pytest.mark.long),
    ],
)
def test_training_comes_to_the_same_numbers(train, with_skips, policy_restored, strategy, settings):
    """Twelve steps with dropout, whose masks are to be the same both times, and running averages that move once."""
    usual = train(strategy, network=with_skips, **settings)
    of_trainer = settings.get("of_trainer", {}) | {"recompute": True}
    again = train(strategy, network=with_skips, **settings | {"of_trainer": of_trainer})
    # The same kernels on the same numbers, in half precision too; XLA fuses the second time otherwise than the first.
    tolerance = 1e-4 if of_trainer.get("jit") else 1e-6
    for variable, expected in zip(again.model.variables, usual.model.variables, strict=True):
        value, expected = keras.ops.convert_to_numpy(variable), keras.ops.convert_to_numpy(expected)
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)
    for epoch, expected in zip(again.history, usual.history, strict=True):
        assert epoch["loss"] == pytest.approx(expected["loss"], rel=tolerance)


def gradients_of(model, forward, images):
    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(forward(images) ** 2)
        return loss, tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    graph = gradients.get_concrete_function().graph
    return *gradients(), [operation.type for operation in graph.get_operations()]


def built_on_an_encoder():
    """Its layers have been called in another model before, and one of its layers is a model."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="tanh")(images)
    maps = [x, keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="tanh")(x)]
    encoder = keras.Model(images, [maps[0], maps[1], keras.layers.Conv2D(2, 1)(maps[1])])
    part = keras.Model(encoder.inputs, encoder.outputs[:2])
    images = keras.Input((None, None, 3))
    fine, coarse = part(keras.layers.Rescaling(1 / 255)(images))
    coarse = keras.layers.UpSampling2D(2)(keras.layers.BatchNormalization()(coarse))
    x = keras.layers.Concatenate()([fine, coarse])
    return keras.Model(images, keras.layers.Conv2D(5, 1)(keras.layers.Dropout(0.5)(x)))


def with_codes():
    """Those of pooling are whole numbers, which have no gradient."""
    return build_segnet_small(num_classes=5, channels=3, width=4)


@pytest.mark.parametrize("build", [with_codes, built_on_an_encoder])
def test_gradients_are_those_of_the_model_and_computed_a_second_time(two_devices, tmp_path, build):
    keras.utils.set_random_seed(1)
    model = build()
    images = tf.constant(np.random.default_rng(1).uniform(0, 255, (2, 34, 48, 3)), tf.float32)
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    loss, gradients, operations = gradients_of(model, lambda images: model(images, training=True), images)
    moved = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)
    again, gradients_again, operations_again = gradients_of(model, recomputing(model), images)
    assert float(again) == pytest.approx(float(loss), rel=1e-6)
    for gradient, expected in zip(gradients_again, gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    for variable, expected in zip(model.variables, moved, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=1e-5, atol=1e-6)
    assert operations_again.count("Conv2D") == 2 * operations.count("Conv2D") > 0
    model.save(tmp_path / "model.keras")
    saved = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(saved(images), model(images), rtol=1e-5, atol=1e-5)


def test_what_is_no_graph_is_refused(two_devices):
    class OwnModel(keras.Model):
        def call(self, images):
            return images

    with pytest.raises(ValueError, match=r"Received: OwnModel 'mine'. Use trainer\.recompute=false"):
        recomputing(OwnModel(name="mine"))


def test_an_output_that_is_part_of_the_loss_is_refused(two_devices):
    images = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(2, 1, activity_regularizer="l2", name="penalised")
    with pytest.raises(ValueError, match="penalised has an activity_regularizer"):
        recomputing(keras.Model(images, layer(images)))
