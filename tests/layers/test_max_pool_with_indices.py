"""Pooling with indices, against its definition in NumPy and against TensorFlow's op of the same purpose."""

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import MaxPoolWithIndices2D, MaxUnpool2D

CHANNELS = 3
SIZES = [(4, 6), (5, 7), (6, 3), (2, 2), (1, 1), (1, 4), (3, 1)]
DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def after_relu(size, dtype="float32", seed=0):
    """Small whole numbers, most of them zero: nearly every window is a tie, as behind a ReLU."""
    values = np.random.default_rng(seed).integers(-3, 3, (2, *size, CHANNELS))
    return np.maximum(values, 0).astype(DTYPES[dtype])


def slow_max_pool(images):
    """The definition, a window at a time: of equal values the first in row-major order wins."""
    batch, height, width, channels = images.shape
    pooled = np.zeros((batch, -(-height // 2), -(-width // 2), channels), images.dtype)
    codes = np.zeros(pooled.shape, np.uint8)
    for sample, row, column, channel in np.ndindex(pooled.shape):
        best = None
        for code in range(4):
            y, x = 2 * row + code // 2, 2 * column + code % 2
            if y < height and x < width and (best is None or images[sample, y, x, channel] > best):
                best = images[sample, y, x, channel]
                codes[sample, row, column, channel] = code
        pooled[sample, row, column, channel] = best
    return pooled, codes


def positions_of(codes, width):
    """Converts codes to what `tf.nn.max_pool_with_argmax` counts: (y * width + x) * channels + channel."""
    _, row, column, channel = np.indices(codes.shape)
    y, x = 2 * row + codes // 2, 2 * column + codes % 2
    return (y * width + x) * codes.shape[3] + channel


def compiled(function, way, dtype="float32"):
    """Returns the function of one batch of images as it is called in that way."""
    if way == "eager":
        return function
    if way == "unknown sizes":
        return tf.function(function, input_signature=[tf.TensorSpec((None, None, None, CHANNELS), dtype)])
    return tf.function(function, jit_compile=way == "xla")


def tensorflow_op(images):
    return tf.nn.max_pool_with_argmax(images, ksize=2, strides=2, padding="SAME")


def there_and_back(images):
    dtype, size = images.dtype.name, images.shape[1:3]
    if None in size:
        size = tf.shape(images)[1], tf.shape(images)[2]
    return MaxUnpool2D(dtype=dtype)(*MaxPoolWithIndices2D(dtype=dtype)(images), output_size=size)


def there_and_back_by_op(images):
    """The usual way: positions taken apart into sample, row, column and channel, stacked, transposed, scattered."""
    pooled, positions = tensorflow_op(images)
    batch, _, width, channels = images.shape
    sample = tf.zeros_like(positions) + tf.reshape(tf.range(batch, dtype=tf.int64), (batch, 1, 1, 1))
    row, column, channel = positions // (width * channels), positions // channels % width, positions % channels
    places = tf.transpose(tf.reshape(tf.stack([sample, row, column, channel]), (4, -1)))
    return tf.scatter_nd(places, tf.reshape(pooled, [-1]), tf.constant(images.shape, tf.int64))


def gradient_of(function, images, upstream):
    images = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = function(images)
    return tape.gradient(outputs, images, output_gradients=tf.constant(upstream))


@pytest.mark.parametrize("way", ["eager", "graph", "unknown sizes", "xla"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_its_definition(dtype, way):
    pool = compiled(MaxPoolWithIndices2D(dtype=dtype), way, dtype)
    for seed, size in enumerate(SIZES):
        images = after_relu(size, dtype, seed)
        pooled, codes = pool(images)
        expected_pooled, expected_codes = slow_max_pool(images)
        assert pooled.dtype == dtype
        assert codes.dtype == "uint8"
        np.testing.assert_array_equal(pooled.numpy(), expected_pooled)
        np.testing.assert_array_equal(codes.numpy(), expected_codes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_equals_max_pool_with_argmax_to_the_position(size, dtype):
    images = after_relu(size, dtype)
    pooled, codes = MaxPoolWithIndices2D(dtype=dtype)(images)
    expected_pooled, expected_positions = tensorflow_op(images)
    np.testing.assert_array_equal(pooled.numpy(), expected_pooled.numpy())
    np.testing.assert_array_equal(positions_of(codes.numpy(), size[1]), expected_positions.numpy())


def test_first_of_equal_values_wins_whatever_comes_later():
    """All 81 windows of three values: each kind of tie there is."""
    windows = np.stack(np.meshgrid(*[[0.0, 1.0, 2.0]] * 4, indexing="ij"), axis=-1).reshape(81, 2, 2, 1)
    pooled, codes = MaxPoolWithIndices2D()(windows.astype(np.float32))
    np.testing.assert_array_equal(codes.numpy().ravel(), windows.reshape(81, 4).argmax(axis=1))
    np.testing.assert_array_equal(pooled.numpy().ravel(), windows.reshape(81, 4).max(axis=1))


@pytest.mark.parametrize("size", [(4, 4), (5, 3)])
@pytest.mark.parametrize("lowest", [-np.inf, float(np.finfo(np.float32).min)])
def test_lowest_values_are_found_inside_the_image(lowest, size):
    """Padding of an odd size must not win, not even over minus infinity."""
    images = np.full((1, *size, 1), lowest, np.float32)
    images[0, 1, 1, 0] = -5.0
    pooled, codes = MaxPoolWithIndices2D()(images)
    expected_pooled, expected_codes = slow_max_pool(images)
    np.testing.assert_array_equal(pooled.numpy(), expected_pooled)
    np.testing.assert_array_equal(codes.numpy(), expected_codes)


@pytest.mark.parametrize("way", ["eager", "graph"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_value_that_is_no_number_shows_wherever_it_stands(dtype, way):
    """TensorFlow's own op passes over all but a window's first. (XLA's maximum on a CPU may do so too.)"""
    images = after_relu((4, 6), dtype)
    images[0, 0, 1, 0] = images[0, 3, 2, 1] = images[1, 2, 5, 2] = images[1, 0, 0, 0] = np.nan
    pooled, codes = compiled(MaxPoolWithIndices2D(dtype=dtype), way)(images)
    expected = np.zeros(pooled.shape, bool)
    expected[0, 0, 0, 0] = expected[0, 1, 1, 1] = expected[1, 1, 2, 2] = expected[1, 0, 0, 0] = True
    np.testing.assert_array_equal(np.isnan(pooled.numpy()), expected)
    numbers, _ = slow_max_pool(np.nan_to_num(images))
    np.testing.assert_array_equal(pooled.numpy()[~expected], numbers[~expected])
    assert codes.numpy().max() <= 3


@pytest.mark.parametrize("way", ["eager", "graph", "unknown sizes", "xla"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_infinite_values_go_there_and_back(dtype, way):
    """Of a window that is minus infinity throughout the first place is taken, as of any tie."""
    images = after_relu((5, 7), dtype)
    images[0, :2, :2], images[1, 2, 3], images[1, 4, 6] = -np.inf, np.inf, -np.inf
    restored = compiled(there_and_back, way, dtype)(tf.constant(images)).numpy()
    np.testing.assert_array_equal(restored, there_and_back_by_op(images).numpy())
    assert np.isneginf(restored).sum() == 2 * CHANNELS
    assert np.isposinf(restored).sum() == CHANNELS


@pytest.mark.parametrize("way", ["eager", "graph", "unknown sizes", "xla"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 3)])
def test_gradient_equals_the_ops_ties_included(size, dtype, way):
    images = after_relu(size, dtype)
    upstream = np.random.default_rng(1).normal(size=slow_max_pool(images)[0].shape).astype(images.dtype)
    layer = MaxPoolWithIndices2D(dtype=dtype)
    gradient = compiled(lambda images: gradient_of(lambda images: layer(images)[0], images, upstream), way, dtype)
    expected = gradient_of(lambda images: tensorflow_op(images)[0], images, upstream)
    np.testing.assert_array_equal(gradient(images).numpy(), expected.numpy())


@pytest.mark.parametrize("way", ["eager", "graph", "unknown sizes", "xla"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 3), (64, 96)])
def test_pool_and_unpool_equal_argmax_and_scatter_forward_and_backward(size, dtype, way):
    images = after_relu(size, dtype)
    upstream = np.random.default_rng(1).normal(size=images.shape).astype(images.dtype)
    values = compiled(there_and_back, way, dtype)
    np.testing.assert_array_equal(values(tf.constant(images)).numpy(), there_and_back_by_op(images).numpy())
    expected = gradient_of(there_and_back_by_op, images, upstream).numpy()
    assert np.count_nonzero(expected) == slow_max_pool(images)[0].size
    gradient = compiled(lambda images: gradient_of(there_and_back, images, upstream), way, dtype)
    np.testing.assert_array_equal(gradient(tf.constant(images)).numpy(), expected)


def test_replicas_pool_and_unpool_as_one_device_does():
    images = after_relu((5, 7))
    upstream = np.random.default_rng(1).normal(size=images.shape).astype(np.float32)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    run = tf.function(lambda: strategy.run(lambda: gradient_of(there_and_back, images, upstream)))
    expected = gradient_of(there_and_back, images, upstream).numpy()
    for gradient in strategy.experimental_local_results(run()):
        np.testing.assert_array_equal(gradient.numpy(), expected)


@pytest.mark.parametrize("size", [*SIZES, (None, None), (None, 5)])
def test_shapes_and_dtypes_are_known_before_the_call(size):
    pooled, codes = MaxPoolWithIndices2D()(keras.Input((*size, CHANNELS)))
    half = tuple(None if length is None else -(-length // 2) for length in size)
    assert pooled.shape == codes.shape == (None, *half, CHANNELS)
    assert (pooled.dtype, codes.dtype) == ("float32", "uint8")


def test_channels_are_known_while_a_graph_of_unknown_sizes_is_traced():
    """A convolution that follows needs them, and padding by an amount known only when called may lose them."""
    traced = []

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, CHANNELS))])
    def pool(images):
        outputs = MaxPoolWithIndices2D()(images)
        traced.extend(output.shape[-1] for output in outputs)
        return outputs

    assert pool(after_relu((5, 7)))[0].shape == (2, 3, 4, CHANNELS)
    assert traced == [CHANNELS, CHANNELS]
