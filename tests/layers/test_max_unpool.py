"""Unpooling, against its definition in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import MaxPoolWithIndices2D, MaxUnpool2D

SIZES = [(4, 6), (5, 7), (6, 3), (1, 1), (1, 4), (3, 1)]


def pooled_and_codes(shape, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 100, shape).astype(dtype), rng.integers(0, 4, shape, dtype=np.uint8)


def slow_unpool(values, codes):
    """The definition, a value at a time."""
    batch, height, width, channels = values.shape
    images = np.zeros((batch, 2 * height, 2 * width, channels), values.dtype)
    for sample, row, column, channel in np.ndindex(values.shape):
        code = codes[sample, row, column, channel]
        place = sample, 2 * row + code // 2, 2 * column + code % 2, channel
        images[place] = values[sample, row, column, channel]
    return images


@pytest.mark.parametrize("way", ["eager", "graph", "unknown sizes", "xla"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_doubles_by_default_and_equals_its_definition(dtype, way):
    unpool = layer = MaxUnpool2D(dtype=dtype)
    if way == "unknown sizes":
        signature = [tf.TensorSpec((None, None, None, 3), kind) for kind in (dtype, tf.uint8)]
        unpool = tf.function(layer, input_signature=signature)
    elif way != "eager":
        unpool = tf.function(layer, jit_compile=way == "xla")
    for shape in [(2, 2, 3, 3), (1, 1, 1, 3)]:
        values, codes = pooled_and_codes(shape, tf.as_dtype(dtype).as_numpy_dtype)
        unpooled = unpool(values, codes)
        assert unpooled.dtype == dtype
        np.testing.assert_array_equal(unpooled.numpy(), slow_unpool(values, codes))


@pytest.mark.parametrize("size", SIZES)
def test_output_size_restores_what_was_pooled(size):
    """Distinct positive values: where the output is not zero it equals the image, and it keeps every maximum."""
    images = np.random.default_rng(0).permutation(np.arange(1, 1 + 2 * size[0] * size[1] * 3))
    images = images.reshape(2, *size, 3).astype(np.float32)
    pooled, codes = MaxPoolWithIndices2D()(images)
    restored = MaxUnpool2D()(pooled, codes, output_size=size).numpy()
    assert restored.shape == images.shape
    kept = restored != 0
    np.testing.assert_array_equal(restored[kept], images[kept])
    np.testing.assert_array_equal(np.sort(restored[kept]), np.sort(pooled.numpy().ravel()))


def test_output_size_may_be_tensors():
    """In a graph of unknown sizes the size to restore is known only when called."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def there_and_back(images):
        pooled, codes = MaxPoolWithIndices2D()(images)
        return MaxUnpool2D()(pooled, codes, output_size=(tf.shape(images)[1], tf.shape(images)[2]))

    for size in [(5, 7), (4, 6)]:
        assert there_and_back(np.ones((1, *size, 3), np.float32)).shape == (1, *size, 3)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("output_size", [None, (4, 6), (3, 5)])
def test_gradient_reads_where_values_were_put(output_size, jit_compile):
    values, codes = pooled_and_codes((2, 2, 3, 3))
    if output_size == (3, 5):
        codes[:, -1], codes[:, :, -1] = codes[:, -1] % 2, 0  # what pooling an odd size returns
    layer = MaxUnpool2D()
    upstream = np.random.default_rng(1).normal(size=(2, *(output_size or (4, 6)), 3)).astype(np.float32)

    @tf.function(jit_compile=jit_compile)
    def gradient(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            unpooled = layer(values, codes, output_size=output_size)
        return tape.gradient(unpooled, values, output_gradients=tf.constant(upstream))

    whole = np.zeros((2, 4, 6, 3), np.float32)
    whole[:, : upstream.shape[1], : upstream.shape[2]] = upstream
    expected = np.zeros_like(values)
    for sample, row, column, channel in np.ndindex(values.shape):
        code = codes[sample, row, column, channel]
        place = sample, 2 * row + code // 2, 2 * column + code % 2, channel
        expected[sample, row, column, channel] = whole[place]
    np.testing.assert_array_equal(gradient(tf.constant(values)).numpy(), expected)


@pytest.mark.parametrize(
    ("size", "output_size", "expected"),
    [
        ((2, 3), None, (4, 6)),
        ((2, 3), (3, 5), (3, 5)),
        ((None, None), None, (None, None)),
        ((None, 3), None, (None, 6)),
    ],
)
def test_shape_is_known_before_the_call(size, output_size, expected):
    values = keras.Input((*size, 4))
    codes = keras.Input((*size, 4), dtype="uint8")
    assert MaxUnpool2D()(values, codes, output_size=output_size).shape == (None, *expected, 4)


@pytest.mark.parametrize("symbolic", [False, True])
def test_refuses_indices_of_other_channels(symbolic):
    if symbolic:
        values, codes = keras.Input((2, 2, 3)), keras.Input((2, 2, 4), dtype="uint8")
    else:
        values, codes = np.ones((1, 2, 2, 3), np.float32), np.zeros((1, 2, 2, 4), np.uint8)
    with pytest.raises(ValueError, match="as many filters as the pooled map has channels") as error:
        MaxUnpool2D()(values, codes)
    batch = None if symbolic else 1
    assert f"Received: inputs {(batch, 2, 2, 3)}, indices {(batch, 2, 2, 4)}." in str(error.value)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("output_size", [(7, 4), (4, 4), (6, 5), (3, 2)])
def test_refuses_a_size_that_cannot_have_been_pooled(output_size, symbolic):
    if symbolic:
        values, codes = keras.Input((3, 2, 1)), keras.Input((3, 2, 1), dtype="uint8")
    else:
        values, codes = np.ones((1, 3, 2, 1), np.float32), np.zeros((1, 3, 2, 1), np.uint8)
    with pytest.raises(ValueError, match="twice it, or twice it less one") as error:
        MaxUnpool2D()(values, codes, output_size=output_size)
    assert f"Received: output_size={output_size} for inputs of (3, 2)." in str(error.value)
