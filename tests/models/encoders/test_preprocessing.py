"""How images are scaled."""

import keras
import numpy as np
import pytest

from segtrain.models.encoders.preprocessing import grey_to_rgb, preprocess


@pytest.mark.parametrize("kind", ["caffe", "tf", "torch"])
def test_preprocessing_is_keras_own(kind):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, preprocess(inputs, kind))
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 4, 3)).astype(np.float32)
    expected = keras.applications.imagenet_utils.preprocess_input(images.copy(), mode=kind)
    np.testing.assert_allclose(model(images).numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["caffe", "tf", "torch"])
def test_images_without_a_mean_are_scaled_to_minus_1_to_1(kind):
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, preprocess(inputs, kind))
    pixels = np.float32([[[[0, 51, 127.5, 255]]]])
    np.testing.assert_allclose(model(pixels).numpy(), [[[[-1, -0.6, 0, 1]]]], atol=1e-6)


def test_grey_images_have_three_equal_channels():
    inputs = keras.Input((None, None, 1))
    grey = np.random.default_rng(0).uniform(0, 255, (2, 3, 4, 1)).astype(np.float32)
    np.testing.assert_array_equal(keras.Model(inputs, grey_to_rgb(inputs))(grey).numpy(), np.repeat(grey, 3, axis=-1))
