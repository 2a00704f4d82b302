"""Counts the values of masks."""

import numpy as np

# Values are counted in pieces: NumPy makes 64 bits of each to count them.
COUNTED_AT_ONCE = 1 << 20


def count_values(values: np.ndarray) -> np.ndarray:
    """Returns how often each value is there: int64 `(256,)`, of uint8 values in any shape."""
    flat, counts = values.reshape(-1), np.zeros(256, np.int64)
    for start in range(0, flat.size, COUNTED_AT_ONCE):
        counts += np.bincount(flat[start : start + COUNTED_AT_ONCE], minlength=256)
    return counts
