"""Local contrast normalisation against its formula, pixel by pixel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import LocalContrastNormalization


def twin(image):
    """The formula of Jarrett et al., one window after the other, for one image `(height, width, channels)`."""
    height, width, _ = image.shape

    def over_windows(values):
        result = np.empty((height, width, 1))
        for row in range(height):
            for column in range(width):
                total = weights = 0.0
                for down in range(-4, 5):
                    for across in range(-4, 5):
                        if 0 <= row + down < height and 0 <= column + across < width:
                            weight = np.exp(-(down**2 + across**2) / (2 * 2.0**2))
                            total += weight * values[row + down, column + across].mean()
                            weights += weight
                result[row, column] = total / weights
        return result

    centred = image - over_windows(image)
    deviation = np.sqrt(over_windows(centred**2))
    return centred / np.maximum(deviation, deviation.mean())


@pytest.fixture
def images():
    """Two of different contrast, so that statistics of the batch would show; smaller than two windows."""
    noise = np.random.default_rng(0).uniform(0, 255, (2, 11, 13, 3))
    noise[1] = 100 + 0.1 * noise[1]
    return noise.astype(np.float32)


@pytest.mark.parametrize("unknown_sizes", [False, True])
def test_is_the_formula(images, unknown_sizes):
    layer = normalize = LocalContrastNormalization()
    if unknown_sizes:
        normalize = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    expected = np.stack([twin(image) for image in images.astype(np.float64)])
    np.testing.assert_allclose(normalize(images).numpy(), expected, rtol=1e-3, atol=1e-4)


def test_brightness_and_contrast_of_the_whole_image_do_not_matter(images):
    layer = LocalContrastNormalization()
    np.testing.assert_allclose(layer(images).numpy(), layer(0.3 * images + 40).numpy(), rtol=1e-2, atol=1e-3)


def test_an_image_of_one_colour_is_zero():
    np.testing.assert_allclose(LocalContrastNormalization()(np.full((1, 9, 9, 3), 200, np.float32)), 0, atol=0.01)


def test_mixed_precision_leaves_it_in_float32(images):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        normalized = LocalContrastNormalization()(images)
    finally:
        keras.config.set_dtype_policy(before)
    assert normalized.dtype == "float32"
    np.testing.assert_array_equal(normalized, LocalContrastNormalization()(images))
