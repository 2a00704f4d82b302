"""The labels of a network whose logits are fewer than the image's pixels."""

from typing import Any

import tensorflow as tf


def labels_at_logits(labels: Any, logits: Any) -> Any:
    """Returns the labels at the size of the logits: the nearest ones, since anything smoother invents labels.

    A logit stands for a window of `stride x stride` pixels, where the logits have `ceil(size / stride)` rows and
    columns; the last windows may reach beyond the image. Its label is that of the pixel `stride // 2` below and right
    of the window's first: of the four about the window's middle the one that `resize_labels` takes too, where the
    stride divides the size. Where it does not, `resize_labels` would stretch the image over all windows, and labels
    would lie up to `stride - 1` pixels off the logits. A window that ends before that pixel has its last one.

    Labels that have the logits' size are returned as they are.

    Args:
        labels: integer `(batch, height, width)`.
        logits: `(batch, height', width', ...)`, or what was made of them; not larger. Of images smaller than the square
            of the stride, the stride may be taken for less than it is.

    Returns:
        The labels' dtype, `(batch, height', width')`.
    """
    own_size, size = _size(labels), _size(logits)
    if all(isinstance(length, int) for length in own_size + size):
        return labels if own_size == size else _taken(labels, own_size, size)
    is_same = tf.reduce_all(tf.equal(own_size, size))
    return tf.cond(is_same, lambda: tf.convert_to_tensor(labels), lambda: _taken(labels, own_size, size))


def _size(array):
    known = tuple(array.shape[1:3])
    return tuple(tf.unstack(tf.shape(array)[1:3])) if None in known else known


def _taken(labels, own_size, size):
    stride = tf.reduce_max([-(-own // wanted) for own, wanted in zip(own_size, size, strict=True)])
    for axis, (own, wanted) in enumerate(zip(own_size, size, strict=True), 1):
        labels = tf.gather(labels, tf.minimum(tf.range(wanted) * stride + stride // 2, own - 1), axis=axis)
    return labels
