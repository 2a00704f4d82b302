"""Transposed convolutions that begin as bilinear enlargement."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import BilinearKernel


@pytest.mark.parametrize(("stride", "size"), [(2, 4), (2, 8), (3, 5), (8, 16), (4, 10)])
def test_the_layer_enlarges_bilinearly(stride, size):
    """Away from the border, where a transposed convolution has no values to go on with."""
    images = np.random.default_rng(0).normal(size=(2, 6, 7, 3)).astype(np.float32)
    layer = keras.layers.Conv2DTranspose(
        3, size, strides=stride, padding="same", use_bias=False, kernel_initializer=BilinearKernel(stride)
    )
    expected = tf.image.resize(images, (6 * stride, 7 * stride), method="bilinear").numpy()
    inner = slice(stride, -stride)
    np.testing.assert_allclose(layer(images).numpy()[:, inner, inner], expected[:, inner, inner], rtol=1e-4, atol=1e-5)


def test_kernel_of_the_paper():
    """Long et al.'s weights for twice the size, between a channel and itself."""
    kernel = np.asarray(BilinearKernel(2)((4, 4, 2, 2)))
    line = np.array([0.25, 0.75, 0.75, 0.25])
    for output in range(2):
        for source in range(2):
            np.testing.assert_allclose(kernel[:, :, output, source], np.outer(line, line) * (output == source))


def test_a_kernel_whose_middle_is_not_the_strides_is_refused():
    with pytest.raises(ValueError, match=r"kernel \(5, 5\), stride 2"):
        BilinearKernel(2)((5, 5, 1, 1))


def test_comes_back_from_its_config():
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(BilinearKernel(4)))
    assert (type(again), again.stride) == (BilinearKernel, 4)
