import numpy as np
import psutil
import tensorflow as tf

from segtrain.benchmarks.device import count_flops, measured_peak, peak_memory


def test_flops_of_convolutions_are_those_of_the_formula():
    """Two for each multiply-add, three times over: forward, and for the gradients of input and kernel."""
    first, second = (tf.Variable(tf.ones((3, 3, inputs, 8))) for inputs in (3, 8))
    forward = 2 * 9 * (3 + 8) * 8 * (2 * 10 * 12)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            outputs = tf.nn.conv2d(tf.nn.conv2d(images, first, 1, "SAME"), second, 1, "SAME")
        return outputs + labels, tape.gradient(outputs, [first, second])

    flops = count_flops(step, tf.zeros((2, 10, 12, 3)), tf.zeros(()))
    assert 3 * forward <= flops <= 3.01 * forward


def test_the_peak_is_that_of_a_processor():
    assert 1e9 < measured_peak() < 1e15


def test_peak_memory_is_what_the_system_says():
    before = peak_memory()
    block = np.ones(300_000_000, np.uint8)
    assert peak_memory() >= min(before + 250_000_000, psutil.Process().memory_info().rss)
    assert peak_memory() >= psutil.Process().memory_info().rss - 2**24
    del block
    assert peak_memory() >= 300_000_000
