"""Bilinear enlargement, for sizes that are known only when called too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import BilinearUpSampling2D


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("unknown_sizes", [False, True])
@pytest.mark.parametrize("factor", [1, 2, 3, 16])
def test_is_tensorflows_resize(factor, unknown_sizes):
    images = noise(2, 4, 5, 3)
    layer = enlarge = BilinearUpSampling2D(factor)
    if unknown_sizes:
        enlarge = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    expected = tf.image.resize(images, (4 * factor, 5 * factor), method="bilinear")
    np.testing.assert_allclose(enlarge(images).numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_is_keras_layer_where_that_works():
    images = noise(1, 3, 7, 2)
    expected = keras.layers.UpSampling2D(4, interpolation="bilinear")(images)
    np.testing.assert_allclose(BilinearUpSampling2D(4)(images), expected, rtol=1e-5, atol=1e-6)


def test_a_single_pixel_becomes_a_square():
    square = BilinearUpSampling2D(3)(np.full((1, 1, 1, 1), 2.5, np.float32))
    np.testing.assert_array_equal(square, np.full((1, 3, 3, 1), 2.5))


@pytest.mark.parametrize("size", [(5, 7), (None, None), (None, 7)])
def test_shape_is_known_before_the_call(size):
    enlarged = BilinearUpSampling2D(2)(keras.Input((*size, 3), dtype="float16"))
    assert enlarged.shape == (None, *(each and 2 * each for each in size), 3)
