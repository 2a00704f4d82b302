"""What the device can do at most, and what a training step asks of it."""

import logging
import time
from typing import Any

import tensorflow as tf

from segtrain import machine

MATRIX_SIZE = 2048
PRODUCTS = 10


def measured_peak() -> float:
    """Returns the FLOP/s of a float32 matrix product, the best of a few: what no convolution exceeds by much."""

    @tf.function
    def multiply(first, second):
        return tf.matmul(first, second)

    matrix = tf.random.stateless_normal((MATRIX_SIZE, MATRIX_SIZE), seed=(1, 2))
    multiply(matrix, matrix)
    seconds = []
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        multiply(matrix, matrix)[0, 0].numpy()  # waits for the device
        seconds.append(time.perf_counter() - start)
    return 2 * MATRIX_SIZE**3 / min(seconds)


def count_flops(step: Any, images: Any, labels: Any) -> int:
    """Returns the floating-point operations of a compiled step on a batch, a multiply-add counted as two.

    TensorFlow's own profiler counts them in the traced graph, gradients included. It knows the operations that
    matter, convolutions above all, and leaves out a few cheap ones.
    """
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output()
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it announces that it was made for TensorFlow 1
    try:
        return profiler.profile(
            step.get_concrete_function(images, labels).graph, options=options.build()
        ).total_float_ops
    finally:
        logger.setLevel(level)


def peak_memory() -> int:
    """Returns the most bytes held so far: on the first GPU, or without one by this process."""
    if tf.config.list_logical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return machine.peak_memory()
