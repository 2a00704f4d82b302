"""Building an encoder from a network of keras.applications. What every one keeps to: test_every_encoder.py."""

import functools

import keras
import numpy as np
import pytest

from segtrain.layers import FusedBatchNormalization
from segtrain.models.encoders.mobilenet_v2 import build_mobilenet_v2

build_small = functools.partial(build_mobilenet_v2, alpha=0.35)


def images_of(*size, channels=3):
    return np.random.default_rng(0).uniform(0, 255, (1, *size, channels)).astype(np.float32)


@pytest.fixture(scope="module")
def colour(two_devices):
    """An encoder that no test changes."""
    return build_small(channels=3)


def test_batch_norm_is_the_fast_one(colour):
    norms = [layer for layer in colour.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 52
    assert {type(layer) for layer in norms} == {FusedBatchNormalization}


def test_grey_images_are_seen_as_equal_channels(colour):
    grey, encoder = images_of(32, 32, channels=1), build_small(channels=1)
    encoder.model.set_weights(colour.model.get_weights())
    expected = colour.model(np.repeat(grey, 3, axis=-1))[-1].numpy()
    np.testing.assert_allclose(encoder.model(grey)[-1].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_other_channels_are_refused_imagenets_weights():
    with pytest.raises(ValueError, match="ImageNet's images have 3 channels; the dataset's have 4"):
        build_small(channels=4, weights="imagenet")


def test_other_channels_are_scaled_and_seen():
    """A change of the fourth channel alone changes the maps."""
    encoder, images = build_small(channels=4), images_of(32, 32, channels=4)
    changed = images * [1, 1, 1, 0]
    assert np.abs(encoder.model(images)[-1] - encoder.model(changed)[-1]).max() > 0


def test_a_map_that_is_not_there_is_refused(colour):
    with pytest.raises(ValueError, match="reads a map of stride 64, and mobilenet_v2 has 2, 4, 8, 16, 32"):
        colour.reading(4, 64)
