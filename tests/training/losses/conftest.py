import numpy as np
import pytest
import tensorflow as tf

VOID = 255


@pytest.fixture
def batches():
    """Labels and logits: with void, without, and with classes that are missing from the truth."""
    found = []
    for seed, share_of_void in enumerate((0.3, 0.0, 0.8)):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 5 if seed < 2 else 2, (2, 5, 6)).astype(np.uint8)
        labels[rng.random(labels.shape) < share_of_void] = VOID
        found.append((labels, rng.normal(0, 2, (*labels.shape, 5)).astype(np.float32)))
    return found


@pytest.fixture
def assert_equals_twin(batches):
    """Compares a loss on every batch with a slow twin in 64 bits, which gets class and softmax of each valid pixel."""

    def compare(loss, twin):
        for labels, logits in batches:
            scores = np.exp(logits.astype(np.float64))
            softmax = scores / scores.sum(axis=-1, keepdims=True)
            valid = [tuple(place) for place in np.argwhere(labels != VOID)]
            expected = twin([(int(labels[place]), softmax[place]) for place in valid])
            np.testing.assert_allclose(loss(tf.constant(labels), tf.constant(logits)).numpy(), expected, rtol=2e-5)

    return compare
