"""Weights, freezing and pre-processing of encoders from keras.applications."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import FusedBatchNormalization
from segtrain.models.encoders.applications import preprocess
from segtrain.models.encoders.mobilenet_v2 import build_mobilenet_v2
from segtrain.models.encoders.vgg16 import build_vgg16
from segtrain.models.unet_on_encoder import build_unet_on_encoder

build_small = functools.partial(build_mobilenet_v2, channels=3, alpha=0.35)


def images_of(*size, channels=3):
    return np.random.default_rng(0).uniform(0, 255, (2, *size, channels)).astype(np.float32)


def norms(encoder):
    return [layer for layer in encoder.model.layers if isinstance(layer, FusedBatchNormalization)]


@pytest.mark.parametrize("kind", ["caffe", "tf", "torch"])
def test_preprocessing_is_keras_own(kind):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, preprocess(inputs, kind))
    images = images_of(3, 4)
    expected = keras.applications.imagenet_utils.preprocess_input(images.copy(), mode=kind)
    np.testing.assert_allclose(model(images).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_batch_norm_is_the_fast_one():
    kinds = {type(layer) for layer in build_small().model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert kinds == {FusedBatchNormalization}


def test_freeze_none_leaves_everything_to_be_trained():
    encoder = build_small()
    assert len(norms(encoder)) == 52
    assert len(encoder.model.trainable_variables) == 52 + 2 * 52  # a kernel before each, and its scale and offset


def test_freeze_all_leaves_nothing_to_be_trained_and_statistics_as_they_are():
    encoder = build_small(freeze="all")
    assert encoder.model.trainable_variables == []
    before = [weight.copy() for weight in encoder.model.get_weights()]
    trained = encoder.model(images_of(32, 32), training=True)
    for one, other in zip(before, encoder.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    expected = encoder.model(images_of(32, 32), training=False)
    np.testing.assert_array_equal(trained[-1].numpy(), expected[-1].numpy())


def test_freeze_batch_norm_leaves_kernels_alone_to_be_trained():
    encoder = build_small(freeze="batch_norm")
    assert {variable.name for variable in encoder.model.trainable_variables} == {"kernel"}
    before = [norm.moving_mean.numpy() for norm in norms(encoder)]
    encoder.model(images_of(32, 32), training=True)
    for norm, mean in zip(norms(encoder), before, strict=True):
        np.testing.assert_array_equal(norm.moving_mean.numpy(), mean)


def test_freeze_of_stages_goes_as_far_as_their_map():
    """VGG16's maps come after 4, 7, 10, 13 and 13 convolutions."""
    for stages, frozen in enumerate([4, 7, 10, 13, 13], 1):
        encoder = build_vgg16(channels=3, freeze=stages)
        convolutions = [layer for layer in encoder.model.layers if isinstance(layer, keras.layers.Conv2D)]
        assert [layer.trainable for layer in convolutions] == [False] * frozen + [True] * (13 - frozen)


def test_frozen_stages_of_a_model_do_not_move_and_stay_frozen_when_it_is_saved(tmp_path):
    model = build_unet_on_encoder(
        num_classes=3, channels=3, encoder=functools.partial(build_mobilenet_v2, alpha=0.35, freeze=5), widths=(4,) * 4
    )
    encoder = model.get_layer("mobilenet_v2")
    before, decoder_before = encoder.get_weights(), model.get_layer("classes").get_weights()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(images_of(32, 32), training=True) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    keras.optimizers.SGD(0.1).apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    for one, other in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.any(decoder_before[0] != model.get_layer("classes").get_weights()[0])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_variables) == len(model.trainable_variables) > 0
    assert loaded.get_layer("mobilenet_v2").trainable_variables == []


def test_more_stages_than_there_are_cannot_be_frozen():
    from segtrain.models.encoders.convnext_tiny import build_convnext_tiny

    with pytest.raises(ValueError, match="freeze=5: convnext_tiny has 4 stages"):
        build_convnext_tiny(channels=3, freeze=5)


def test_weights_are_taken_from_a_model_trained_here(tmp_path):
    keras.utils.set_random_seed(1)
    model = build_unet_on_encoder(num_classes=3, channels=3, encoder=build_small, widths=(4,) * 4)
    path = tmp_path / "best.keras"
    model.save(path)
    encoder = build_small(weights=str(path))
    expected = model.get_layer("mobilenet_v2")(images_of(32, 32))
    for one, other in zip(encoder.model(images_of(32, 32)), expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_weights_that_do_not_fit_are_refused_with_what_would(tmp_path):
    wider = tmp_path / "wider.weights.h5"
    keras.applications.MobileNetV2(include_top=False, weights=None, alpha=0.5).save_weights(wider)
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 1)]).save(other)
    text = tmp_path / "text.h5"
    text.write_text("no weights")
    for path in (wider, other, text, tmp_path / "missing.h5", tmp_path / "missing.keras"):
        with pytest.raises(ValueError, match="checkpoints/best.keras of a run on mobilenet_v2") as caught:
            build_small(weights=str(path))
        assert f"model.encoder.weights={path}: " in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_map_that_is_not_there_is_refused():
    from segtrain.models.encoders.convnext_tiny import build_convnext_tiny

    with pytest.raises(ValueError, match="reads a map of stride 2, and convnext_tiny has 4, 8, 16, 32"):
        build_convnext_tiny(channels=3).reading(2)
