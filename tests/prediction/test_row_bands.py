import numpy as np
import pytest

from segtrain.prediction import row_bands
from segtrain.prediction.row_bands import bands_of_rows, resized_rows


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 90), (13, 90), (3, 2), (31, 17)])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (16, 31)])
def test_bands_are_those_of_the_whole(shape, size):
    import tensorflow as tf

    values = np.random.default_rng(0).normal(size=(*shape, 11)).astype(np.float32)
    expected = tf.image.resize(values, size, method="bilinear").numpy()
    for rows in (1, 3, size[0]):
        bands = [
            resized_rows(values, size, range(first, min(first + rows, size[0]))) for first in range(0, size[0], rows)
        ]
        np.testing.assert_allclose(np.concatenate(bands), expected, atol=1e-5)


@pytest.mark.parametrize(("height", "values_per_row"), [(1, 1), (10, 1), (10, 3), (10, 100), (7, 4)])
def test_bands_cover_all_rows_once_and_are_small(monkeypatch, height, values_per_row):
    monkeypatch.setattr(row_bands, "MOST_VALUES", 12)
    bands = list(bands_of_rows(height, values_per_row))
    assert [row for band in bands for row in band] == list(range(height))
    assert all(len(band) == 1 or len(band) * values_per_row <= 12 for band in bands)
