import keras
from keras import ops

from segtrain.layers.window_codes import CODE_DTYPE, maximum_with_codes, place_at_codes


@keras.saving.register_keras_serializable("segtrain")
class MaxPoolWithIndices2D(keras.layers.Layer):
    """Max pooling over 2x2 windows that also returns where each maximum stood.

    The indices are codes relative to the window, 0..3 in row-major order, one uint8 each: what
    `MaxUnpool2D` needs to put values back, at a quarter of the bytes of a float map. They equal the positions
    of `tf.nn.max_pool_with_argmax`, ties included, but also compile under XLA and need no 64-bit integers.
    A last odd row or column is pooled on its own, as padding "same" does.
    See SegNet, Badrinarayanan et al. 2015, section 3.1, https://arxiv.org/abs/1511.00561.

    Input shape:
        `(batch, height, width, channels)`, float; height and width may be unknown until called.

    Output shape:
        Two tensors `(batch, ceil(height / 2), ceil(width / 2), channels)`: the maxima in the input's dtype and
        the uint8 codes.

    Example:

    >>> pooled, indices = MaxPoolWithIndices2D()(features)
    >>> restored = MaxUnpool2D()(pooled, indices, output_size=features.shape[1:3])
    """

    def call(self, inputs):
        pooled, codes = _pool_with_gradient(_pad_to_even(inputs))
        return pooled, codes

    def compute_output_spec(self, inputs):
        batch, height, width, channels = inputs.shape
        shape = (batch, _half_rounded_up(height), _half_rounded_up(width), channels)
        return keras.KerasTensor(shape, dtype=inputs.dtype), keras.KerasTensor(shape, dtype=CODE_DTYPE)


@ops.custom_gradient
def _pool_with_gradient(images):
    maximum, codes = maximum_with_codes(images)

    def gradient(maximum_gradient, *_):
        return place_at_codes(maximum_gradient, codes)

    return (maximum, codes), gradient


def _pad_to_even(images):
    """Adds a last row or column of minus infinity where the size is odd, or not known to be even."""
    static_height, static_width, channels = images.shape[1:]
    if static_height is not None and static_width is not None and static_height % 2 == static_width % 2 == 0:
        return images
    batch, height, width, _ = ops.shape(images)
    rows, columns = height % 2, width % 2
    padded = ops.pad(images, ((0, 0), (0, rows), (0, columns), (0, 0)), constant_values=float("-inf"))
    # Converters (TFLite's) lose the static channel count when the padding is known only when called.
    return ops.reshape(padded, (batch, height + rows, width + columns, channels))


def _half_rounded_up(size):
    return None if size is None else (size + 1) // 2
