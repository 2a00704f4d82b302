"""What TensorFlow would keep of every job that a process runs."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from segtrain.sweeps.job_memory import memory_returned


def train():
    """Takes a step as a run does: a compiled function inside a graph, images by a Python function."""
    images = np.zeros((2, 3), np.float32).view(type("Images", (np.ndarray,), {}))
    weights = tf.Variable(np.ones(3, np.float32))
    highest = tf.function(lambda logits: tf.reduce_max(logits), jit_compile=True)
    double = tf.custom_gradient(lambda x: (2 * x, lambda upstream: 2 * upstream))

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            loss = highest(double(batch * weights))
        return tape.gradient(loss, weights)

    numbers = tf.data.Dataset.range(2)
    batches = numbers.map(lambda number: tf.numpy_function(lambda n: np.asarray(images[n]), [number], tf.float32))
    for batch in batches:
        step(tf.ensure_shape(batch, (3,)))
    graph = step.get_concrete_function(tf.TensorSpec((3,), tf.float32)).graph
    return weakref.ref(graph), weakref.ref(images)


def test_graph_and_images_of_a_job_are_gone():
    with memory_returned():
        kept = train()
    assert [each() for each in kept] == [None, None]


def test_tensorflow_keeps_both_by_itself():
    """Where this fails, TensorFlow has mended it and `memory_returned` has had its day."""
    kept = train()
    gc.collect()
    assert all(each() is not None for each in kept)


def test_what_was_there_before_a_job_still_has_its_gradient():
    square = tf.function(lambda x: x * x)
    outer = tf.function(lambda x: tf.gradients(square(x), x)[0])
    assert outer(tf.constant(3.0)).numpy() == pytest.approx(6.0)
    with memory_returned():
        train()
    assert outer(tf.constant(4.0)).numpy() == pytest.approx(8.0)
    assert outer(tf.constant([1.0, 2.0])).numpy() == pytest.approx([2.0, 4.0])
