"""Padding to the sizes that a network can take."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import PadToSizes2D


@pytest.mark.parametrize("unknown_sizes", [False, True])
@pytest.mark.parametrize(
    ("size", "padded"),
    [((12, 20), (12, 20)), ((13, 16), (16, 16)), ((1, 31), (12, 32)), ((24, 25), (24, 28))],
)
def test_adds_zeros_at_the_end_up_to_the_next_multiple(size, padded, unknown_sizes):
    images = np.random.default_rng(0).uniform(1, 2, (2, *size, 3)).astype(np.float32)
    layer = pad = PadToSizes2D(multiple=4, smallest=12)
    if unknown_sizes:
        pad = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    expected = np.zeros((2, *padded, 3), np.float32)
    expected[:, : size[0], : size[1]] = images
    np.testing.assert_array_equal(pad(images).numpy(), expected)


@pytest.mark.parametrize(
    ("size", "padded"), [((5, 17), (12, 20)), ((None, None), (None, None)), ((None, 7), (None, 12))]
)
def test_shape_is_known_before_the_call(size, padded):
    images = keras.Input((*size, 3), dtype="float16")
    assert PadToSizes2D(multiple=4, smallest=12)(images).shape == (None, *padded, 3)


def test_a_smallest_size_that_is_no_multiple_is_refused():
    with pytest.raises(ValueError, match="multiple=8, smallest=12"):
        PadToSizes2D(multiple=8, smallest=12)
