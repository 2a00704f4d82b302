import numpy as np

from segtrain.pipeline import counting
from segtrain.pipeline.counting import count_values


def test_every_value_is_counted_in_pieces_too(monkeypatch):
    values = np.random.default_rng(0).integers(0, 256, (37, 41), np.uint8)
    expected = [int((values == value).sum()) for value in range(256)]
    assert count_values(values).tolist() == expected
    monkeypatch.setattr(counting, "COUNTED_AT_ONCE", 100)
    assert count_values(values).tolist() == expected
    assert count_values(values.T).tolist() == expected
