import numpy as np
import pytest

from segtrain.prediction.sliding_windows import blended_bands, blending_weights, window_starts

EXTENTS = [
    (1, 1, 0.5),
    (10, 10, 0.5),
    (10, 4, 0.5),
    (11, 4, 0.5),
    (100, 7, 0.9),
    (100, 7, 0),
    (100, 64, 0.25),
    (9, 8, 0),
]


@pytest.mark.parametrize(("extent", "window", "overlap"), EXTENTS)
def test_windows_cover_all_of_an_extent_and_overlap(extent, window, overlap):
    starts = window_starts(extent, window, overlap)
    assert (starts[0], starts[-1]) == (0, extent - window)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= max(1, round(window * (1 - overlap)))).all()
    assert {place for start in starts for place in range(start, start + window)} == set(range(extent))


@pytest.mark.parametrize(("extent", "window", "overlap"), EXTENTS)
def test_weights_are_positive_and_add_up_to_one(extent, window, overlap):
    starts, total = window_starts(extent, window, overlap), np.zeros(extent)
    for start, weights in zip(starts, blending_weights(starts, window), strict=True):
        assert (weights > 0).all()
        total[start : start + window] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_window_fades_where_it_ends_within_the_image():
    starts = window_starts(300, 100, 0.5)
    for start, weights in zip(starts, blending_weights(starts, 100), strict=True):
        assert (weights[0] < 0.001) == (start > 0)
        assert (weights[-1] < 0.001) == (start < 200)


def blended_in_a_loop(image, window, overlap, probabilities):
    """All tiles one by one, their raised cosines, and at the end the division by what they add up to."""
    height, width = (min(tile, own) for tile, own in zip(window, image.shape[:2], strict=True))
    total, weight = np.zeros((*image.shape[:2], 2)), np.zeros((*image.shape[:2], 1))
    for top in window_starts(image.shape[0], height, overlap):
        for left in window_starts(image.shape[1], width, overlap):
            answer = probabilities(image[None, top : top + height, left : left + width])[0]
            for row in range(height):
                for column in range(width):
                    own = np.sin(np.pi * (row + 0.5) / height) ** 2 * np.sin(np.pi * (column + 0.5) / width) ** 2
                    total[top + row, left + column] += own * answer[row, column]
                    weight[top + row, left + column] += own
    return total / weight


@pytest.mark.parametrize(
    ("window", "overlap"), [((8, 8), 0.5), ((8, 12), 0), ((5, 7), 0.7), ((100, 9), 0.5), ((9, 100), 0.3), ((99, 99), 0)]
)
@pytest.mark.parametrize("tiles_together", [1, 3])
def test_tiles_are_blended_by_their_weights(window, overlap, tiles_together):
    image = np.random.default_rng(0).integers(0, 256, (25, 33, 1), np.uint8)

    def probabilities(tiles):
        """Depends on the tile, so that two tell different things of a pixel."""
        assert len(tiles) <= tiles_together
        share = tiles / 255 * tiles.mean(axis=(1, 2), keepdims=True) / 255
        return np.concatenate([share, 1 - share], axis=-1).astype(np.float32)

    bands = list(blended_bands(image, window, overlap, probabilities, tiles_together))
    assert all(len(band) <= window[0] for band in bands)
    blended = np.concatenate(bands)
    assert (blended.shape, blended.dtype) == ((25, 33, 2), np.float32)
    np.testing.assert_allclose(blended, blended_in_a_loop(image, window, overlap, probabilities), atol=1e-6)


def test_all_tiles_of_a_call_have_the_windows_size():
    shapes = set()

    def probabilities(tiles):
        shapes.add(tiles.shape[1:])
        return np.ones((*tiles.shape[:3], 2), np.float32)

    np.concatenate(list(blended_bands(np.zeros((50, 61, 3), np.uint8), (16, 20), 0.5, probabilities, 4)))
    assert shapes == {(16, 20, 3)}
