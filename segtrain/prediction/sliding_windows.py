"""Tiles of a large image, and what the network says of them blended without seams: `sliding_window`."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from segtrain.pipeline.resizing import Size


def window_starts(extent: int, window: int, overlap: float) -> list[int]:
    """Returns where the windows begin that cover `0..extent`; the last one is moved inwards to end with it.

    Args:
        extent: pixels to cover.
        window: pixels of a window, at most `extent`.
        overlap: share of a window that the next one covers too, 0 <= overlap < 1.
    """
    step = max(1, round(window * (1 - overlap)))
    return [*range(0, extent - window, step), extent - window]


def blending_weights(starts: list[int], window: int) -> list[np.ndarray]:
    """Returns the weights of each window's pixels, float32 `(window,)`, which add up to 1 at every pixel.

    A raised cosine: a window that ends has no weight any more where it does, so there is no seam.
    """
    cosine = np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
    total = np.zeros(starts[-1] + window)
    for start in starts:
        total[start : start + window] += cosine
    return [(cosine / total[start : start + window]).astype(np.float32) for start in starts]


def blended_bands(
    image: np.ndarray,
    window: Size,
    overlap: float,
    probabilities: Callable[[np.ndarray], np.ndarray],
    tiles_together: int,
) -> Iterator[np.ndarray]:
    """Yields the class probabilities of an image from top to bottom, as many rows at a time as are done.

    No more than the rows of one row of tiles are in memory.

    Args:
        image: uint8 `(height, width, channels)`.
        window: `(height, width)` of a tile; where the image is smaller, so are the tiles.
        overlap: share of a tile that its neighbour covers too.
        probabilities: tiles, uint8 `(tiles, height, width, channels)`, to float32 `(tiles, height, width, classes)`.
        tiles_together: most tiles in a call.

    Yields:
        float32 `(rows, width, classes)`.
    """
    height, width = (min(tile, own) for tile, own in zip(window, image.shape, strict=False))
    tops, lefts = window_starts(image.shape[0], height, overlap), window_starts(image.shape[1], width, overlap)
    columns = list(zip(lefts, blending_weights(lefts, width), strict=True))
    pending = None
    for top, next_top, rows in itertools.zip_longest(tops, tops[1:], blending_weights(tops, height)):
        for first in range(0, len(columns), tiles_together):
            together = columns[first : first + tiles_together]
            tiles = np.stack([image[top : top + height, left : left + width] for left, _ in together])
            for (left, weights), answer in zip(together, probabilities(tiles), strict=True):
                if pending is None:
                    pending = np.zeros((height, image.shape[1], answer.shape[-1]), np.float32)
                pending[:, left : left + width] += answer * (rows[:, None] * weights)[..., None]
        done = height if next_top is None else next_top - top
        yield pending[:done].copy()
        pending[: height - done] = pending[done:]
        pending[height - done :] = 0
