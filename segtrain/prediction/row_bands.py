"""Bands of an image's rows: what a large image has for each class takes more memory than the image, all at once."""

from collections.abc import Iterator

import cv2
import numpy as np

from segtrain.pipeline.resizing import Size

MOST_VALUES = 2**23  # of a band: 32 MB


def bands_of_rows(height: int, values_per_row: int) -> Iterator[range]:
    """Yields the rows `0..height` in bands of few enough values."""
    rows = max(1, MOST_VALUES // values_per_row)
    for first in range(0, height, rows):
        yield range(first, min(first + rows, height))


def resized_rows(values: np.ndarray, size: Size, rows: range) -> np.ndarray:
    """Returns a band of `tf.image.resize(values, size)`, bilinear.

    Args:
        values: float32 `(height, width, classes)`.
        size: `(height, width)` of the whole result.
        rows: which rows of the result.

    Returns:
        float32 `(len(rows), width, classes)`.
    """
    if values.shape[:2] == tuple(size):
        return values[rows.start : rows.stop]
    # Pixels are squares whose middles are half a pixel from their edges. Beyond the first and last middle the value is
    # that of the edge.
    place = (np.arange(rows.start, rows.stop) + 0.5) * (values.shape[0] / size[0]) - 0.5
    place = place.clip(0, values.shape[0] - 1)
    above = place.astype(int)
    below = np.minimum(above + 1, values.shape[0] - 1)
    share = (place - above).astype(np.float32)[:, None, None]
    band = values[above] * (1 - share) + values[below] * share
    return cv2.resize(band, (size[1], len(rows)), interpolation=cv2.INTER_LINEAR)
