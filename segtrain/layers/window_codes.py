"""Codes of 2x2 windows: where in its window a pooled value stood.

A window's positions are numbered in row-major order::

    0 1
    2 3

so one code needs two bits, as the SegNet paper counts them (section 3.1), and is held in a uint8. The three
functions here are all that pooling with indices, unpooling and both of their gradients are made of: the
gradient of taking the maximum is `place_at_codes`, and the gradient of placing is `take_at_codes`.
"""

from keras import ops

CODE_DTYPE = "uint8"


def maximum_with_codes(images):
    """Returns the maximum of each 2x2 window and its code.

    On a tie the first position in row-major order wins, as in `tf.nn.max_pool_with_argmax`: each later
    position has to be strictly greater. After a ReLU most windows are a tie at zero, so this is the usual case.

    Args:
        images: float tensor `(batch, height, width, channels)`; height and width are even.

    Returns:
        `(maximum, codes)`, both `(batch, height / 2, width / 2, channels)`; codes are uint8 in 0..3.
    """
    top_left, top_right, bottom_left, bottom_right = _positions(images)
    top = ops.maximum(top_left, top_right)
    bottom = ops.maximum(bottom_left, bottom_right)
    codes = ops.where(
        bottom > top,
        ops.cast(bottom_right > bottom_left, CODE_DTYPE) + ops.cast(2, CODE_DTYPE),
        ops.cast(top_right > top_left, CODE_DTYPE),
    )
    return ops.maximum(top, bottom), codes


def place_at_codes(values, codes):
    """Puts each value at its code's position of a 2x2 window; the other three positions are zero.

    Args:
        values: float tensor `(batch, height, width, channels)`.
        codes: uint8 tensor of the same shape, in 0..3.

    Returns:
        Float tensor `(batch, 2 * height, 2 * width, channels)`.
    """
    batch, height, width, channels = ops.shape(values)
    window = ops.reshape(ops.convert_to_tensor([[0, 1], [2, 3]], dtype=CODE_DTYPE), (1, 1, 2, 1, 2, 1))
    chosen = ops.equal(codes[:, :, None, :, None, :], window)
    placed = ops.where(chosen, values[:, :, None, :, None, :], ops.zeros((), values.dtype))
    return ops.reshape(placed, (batch, 2 * height, 2 * width, channels))


def take_at_codes(images, codes):
    """Reads from each 2x2 window the value at its code's position.

    Args:
        images: float tensor `(batch, 2 * height, 2 * width, channels)`.
        codes: uint8 tensor `(batch, height, width, channels)`, in 0..3.

    Returns:
        Float tensor `(batch, height, width, channels)`.
    """
    first, second, third, fourth = _positions(images)
    upper = ops.where(ops.equal(codes, 0), first, second)
    lower = ops.where(ops.equal(codes, 2), third, fourth)
    return ops.where(codes < ops.cast(2, CODE_DTYPE), upper, lower)


def _positions(images):
    """Returns the four views `(batch, height / 2, width / 2, channels)` holding positions 0, 1, 2 and 3 of each window.

    `images[:, ::2, ::2]` and so on would be the same, but TensorFlow copies slices with a stride one value at a time,
    on one core: five to seven times as slow as cutting the windows apart first, which moves nothing.
    """
    batch, height, width, channels = ops.shape(images)
    windows = ops.reshape(images, (batch, height // 2, 2, width // 2, 2, channels))
    return [windows[:, :, row, :, column, :] for row in (0, 1) for column in (0, 1)]
