"""Cropping to the size of another map."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import CropToReference2D


def numbered(height, width, channels=2):
    return np.arange(2 * height * width * channels, dtype=np.float32).reshape(2, height, width, channels)


@pytest.mark.parametrize("unknown_sizes", [False, True])
@pytest.mark.parametrize("size", [(5, 7), (6, 7), (5, 8), (6, 8)])
def test_drops_the_last_rows_and_columns(size, unknown_sizes):
    images, reference = numbered(6, 8), numbered(*size, channels=1)
    layer = crop = CropToReference2D()
    if unknown_sizes:
        crop = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, c)) for c in (2, 1)])
    np.testing.assert_array_equal(crop(images, reference).numpy(), images[:, : size[0], : size[1]])


@pytest.mark.parametrize("unknown_sizes", [False, True])
@pytest.mark.parametrize("size", [(11, 14), (12, 16), (9, 13)])
def test_with_a_stride_the_share_of_the_reference_is_left(size, unknown_sizes):
    images, reference = numbered(6, 8), numbered(*size, channels=1)
    layer = crop = CropToReference2D.from_config(CropToReference2D(stride=2).get_config())
    if unknown_sizes:
        crop = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, c)) for c in (2, 1)])
    # Every second row and column, which the first of each pair is there for.
    expected = images[:, : len(range(0, size[0], 2)), : len(range(0, size[1], 2))]
    np.testing.assert_array_equal(crop(images, reference).numpy(), expected)
    assert layer(keras.Input((6, 8, 2)), keras.Input((*size, 1))).shape == (None, *expected.shape[1:])
    assert layer(keras.Input((6, 8, 2)), keras.Input((None, size[1], 1))).shape == (None, None, *expected.shape[2:])


@pytest.mark.parametrize("size", [(5, 7), (6, 8)])
def test_gradient_is_zero_where_it_cut(size):
    images = tf.constant(numbered(6, 8))
    with tf.GradientTape() as tape:
        tape.watch(images)
        cropped = CropToReference2D()(images, tf.zeros((2, *size, 1)))
    expected = np.zeros(images.shape)
    expected[:, : size[0], : size[1]] = 1
    np.testing.assert_array_equal(tape.gradient(cropped, images).numpy(), expected)


@pytest.mark.parametrize("size", [(5, 7), (None, None), (None, 7)])
def test_shape_is_known_before_the_call(size):
    cropped = CropToReference2D()(keras.Input((6, 8, 2), dtype="float16"), keras.Input((*size, 3)))
    assert cropped.shape == (None, *size, 2)
