import numpy as np
import pytest
import tensorflow as tf

from segtrain.benchmarks.pooling_pair import measure_pooling_pair, our_pair, usual_pair
from segtrain.layers import MaxPoolWithIndices2D


@pytest.mark.parametrize("shape", [(2, 32, 32, 16), (3, 8, 20, 5)])
@pytest.mark.parametrize("jit", [False, True])
def test_both_contenders_do_the_same(shape, jit):
    """To the bit, in value and gradient, ties after a ReLU included; else their times could not be compared."""
    images = tf.nn.relu(tf.random.stateless_normal(shape, seed=(1, 2)))
    assert np.mean(images.numpy() == 0) > 0.4
    upstream = tf.random.stateless_normal(shape, seed=(3, 4))

    def value_and_gradient(pair):
        with tf.GradientTape() as tape:
            tape.watch(images)
            unpooled = pair(images)
        return unpooled, tape.gradient(unpooled, images, upstream)

    ours = tf.function(lambda: value_and_gradient(our_pair), jit_compile=jit)()
    usual = tf.function(lambda: value_and_gradient(usual_pair))()
    for our, other in zip(ours, usual, strict=True):
        np.testing.assert_array_equal(our.numpy(), other.numpy())


def test_the_usual_way_does_not_compile():
    with pytest.raises(tf.errors.OpError, match="MaxPoolWithArgmax"):
        tf.function(usual_pair, jit_compile=True)(tf.zeros((1, 4, 4, 1)))


def test_the_state_held_is_what_a_window_holds():
    figures = measure_pooling_pair(rounds=1)
    images = tf.zeros((2, 8, 8, 3))
    windows = 2 * 4 * 4 * 3
    assert figures["pooling_pair.bytes_per_window.codes"].median == (
        MaxPoolWithIndices2D()(images)[1].numpy().nbytes / windows
    )
    assert figures["pooling_pair.bytes_per_window.float_map"].median == images.numpy().nbytes / windows
    assert figures["pooling_pair.bytes_per_window.positions"].median == 8
    assert figures["pooling_pair.graph_ratio"].median > 0
    assert figures["pooling_pair.xla_ratio"].median > 0
