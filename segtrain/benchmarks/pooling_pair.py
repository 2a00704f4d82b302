"""Pooling with indices and unpooling against the usual way: `max_pool_with_argmax` and `scatter_nd`."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from segtrain.benchmarks.alternation import Figure, ratio, seconds_of, take_turns
from segtrain.layers import MaxPoolWithIndices2D, MaxUnpool2D

SHAPES = ((8, 128, 128, 64), (16, 32, 32, 128))
CALLS_PER_TURN = 3


def measure_pooling_pair(rounds: int) -> dict[str, Figure]:
    """Returns the time of our pair, forward and backward, as a share of the usual one's, and the bytes held.

    The ratios are the larger ones of two shapes. The values are those after a ReLU, where most windows are ties.
    """
    graph_ratios, xla_ratios = [], []
    for shape in SHAPES:
        images = tf.nn.relu(tf.random.stateless_normal(shape, seed=(1, 2)))
        upstream = tf.random.stateless_normal(shape, seed=(3, 4))
        pairs = {
            "usual": tf.function(_forward_and_backward(usual_pair)),
            "graph": tf.function(_forward_and_backward(our_pair)),
            "xla": tf.function(_forward_and_backward(our_pair), jit_compile=True),
        }
        figures = take_turns({name: _timed(pair, images, upstream) for name, pair in pairs.items()}, rounds)
        graph_ratios.append(ratio(figures, "graph", "usual"))
        xla_ratios.append(ratio(figures, "xla", "usual"))
    return {
        "pooling_pair.graph_ratio": max(graph_ratios, key=lambda figure: figure.median),
        "pooling_pair.xla_ratio": max(xla_ratios, key=lambda figure: figure.median),
        **_state_held(),
    }


def our_pair(images: Any) -> Any:
    """Pools and unpools `(batch, height, width, channels)` with one code per window."""
    pooled, indices = MaxPoolWithIndices2D()(images)
    return MaxUnpool2D()(pooled, indices)


def usual_pair(images: Any) -> Any:
    """Pools and unpools with flat positions, scattered by (batch, row, column, channel), as published code does."""
    pooled, positions = tf.nn.max_pool_with_argmax(images, 2, 2, "SAME")
    batch, height, width, channels = (tf.cast(size, tf.int64) for size in tf.unstack(tf.shape(images)))
    image_numbers = tf.reshape(tf.range(batch), (-1, 1, 1, 1)) * tf.ones_like(positions)
    rows = positions // (width * channels)
    columns = positions // channels % width
    count = tf.size(pooled)
    places = tf.transpose(tf.reshape(tf.stack([image_numbers, rows, columns, positions % channels]), (4, count)))
    return tf.scatter_nd(places, tf.reshape(pooled, (count,)), tf.stack([batch, height, width, channels]))


def _forward_and_backward(pair: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def run(images, upstream):
        with tf.GradientTape() as tape:
            tape.watch(images)
            unpooled = pair(images)
        return unpooled, tape.gradient(unpooled, images, upstream)

    return run


def _timed(pair, images, upstream) -> Callable[[], float]:
    call = functools.partial(pair, images, upstream)
    call()  # compiles
    return lambda: seconds_of(call, CALLS_PER_TURN, wait=lambda results: results[1][0, 0, 0, 0].numpy())


def _state_held() -> dict[str, Figure]:
    """Returns the bytes held per window between pooling and unpooling, read off the tensors."""
    images = tf.zeros((1, 2, 2, 1))
    _, indices = MaxPoolWithIndices2D()(images)
    _, positions = tf.nn.max_pool_with_argmax(images, 2, 2, "SAME")
    held = {"codes": indices, "positions": positions, "float_map": images}
    return {
        f"pooling_pair.bytes_per_window.{name}": Figure.of([tensor.numpy().nbytes]) for name, tensor in held.items()
    }
