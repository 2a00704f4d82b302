"""Padding to a multiple by repeating the edge."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import PadToMultiple2D


@pytest.mark.parametrize("unknown_sizes", [False, True])
@pytest.mark.parametrize(("size", "padded"), [((1, 1), (4, 4)), ((5, 7), (8, 8)), ((4, 9), (4, 12)), ((8, 4), (8, 4))])
def test_repeats_the_last_row_and_column(size, padded, unknown_sizes):
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    pad = PadToMultiple2D(4)
    if unknown_sizes:
        pad = tf.function(pad, input_signature=[tf.TensorSpec((None, None, None, 3))])
    added = [(0, big - small) for big, small in zip(padded, size, strict=True)]
    np.testing.assert_array_equal(pad(images).numpy(), np.pad(images, [(0, 0), *added, (0, 0)], mode="edge"))


@pytest.mark.parametrize("unknown_sizes", [False, True])
@pytest.mark.parametrize(("size", "padded"), [((1, 13), (12, 16)), ((12, 11), (12, 12)), ((16, 12), (16, 12))])
def test_a_smallest_size(size, padded, unknown_sizes):
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    layer = pad = PadToMultiple2D(4, smallest=12)
    if unknown_sizes:
        pad = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    added = [(0, big - small) for big, small in zip(padded, size, strict=True)]
    np.testing.assert_array_equal(pad(images).numpy(), np.pad(images, [(0, 0), *added, (0, 0)], mode="edge"))
    assert layer(keras.Input((*size, 2))).shape == (None, *padded, 2)


def test_a_smallest_size_that_is_no_multiple_is_refused():
    with pytest.raises(ValueError, match="multiple=8, smallest=12"):
        PadToMultiple2D(8, smallest=12)


def test_shape_is_known_before_the_call():
    assert PadToMultiple2D(4)(keras.Input((5, None, 2))).shape == (None, 8, None, 2)
