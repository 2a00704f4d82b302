"""Bilinear enlarging at sizes that are not known beforehand."""

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import BilinearUpSampling2D


@pytest.mark.parametrize("unknown_sizes", [False, True])
@pytest.mark.parametrize("times", [2, 4])
def test_equals_opencvs_resizing(times, unknown_sizes):
    images = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    enlarge = BilinearUpSampling2D(times)
    if unknown_sizes:
        enlarge = tf.function(enlarge, input_signature=[tf.TensorSpec((None, None, None, 3))])
    expected = [cv2.resize(image, (7 * times, 5 * times), interpolation=cv2.INTER_LINEAR) for image in images]
    np.testing.assert_allclose(enlarge(images).numpy(), expected, atol=1e-5)


def test_keeps_the_dtype():
    enlarged = BilinearUpSampling2D(2, dtype="bfloat16")(tf.ones((1, 2, 2, 1), tf.bfloat16))
    assert enlarged.dtype == tf.bfloat16


def test_shape_is_known_before_the_call():
    assert BilinearUpSampling2D(4)(keras.Input((5, None, 2))).shape == (None, 20, None, 2)
