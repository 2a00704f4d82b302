"""Cross-entropy over valid pixels, against its definition in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.replicas import choose_strategy

NUM_CLASSES = 11
VOIDS = pytest.mark.parametrize("void", [255, NUM_CLASSES])


def case(void, share_of_void=0.3, shape=(2, 5, 7), seed=0, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, NUM_CLASSES, shape)
    labels[rng.random(shape) < share_of_void] = void
    return labels.astype(dtype), rng.normal(0, 3, (*shape, NUM_CLASSES)).astype(np.float32)


def slow_cross_entropy(labels, logits, void):
    """The definition in 64 bits: minus the log of the softmax at the true class, averaged over the valid pixels."""
    logits = logits.astype(np.float64)
    log_softmax = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    places = [tuple(place) for place in np.argwhere(labels != void)]
    return -np.mean([log_softmax[place][labels[place]] for place in places])


def loss_and_gradient(labels, logits, void):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = build_cross_entropy(ignore_label=void)(tf.constant(labels), logits)
    return loss.numpy(), tape.gradient(loss, logits).numpy()


@VOIDS
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("share_of_void", [0.0, 0.3, 0.9])
def test_equals_its_definition(void, dtype, share_of_void):
    labels, logits = case(void, share_of_void, dtype=dtype)
    loss, _ = loss_and_gradient(labels, logits, void)
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss, slow_cross_entropy(labels, logits, void), rtol=1e-6)


@VOIDS
def test_gradient_is_softmax_less_truth_over_valid_pixels_and_zero_at_void(void):
    labels, logits = case(void)
    _, gradient = loss_and_gradient(labels, logits, void)
    valid = labels != void
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    truth = labels[..., None] == np.arange(NUM_CLASSES)
    np.testing.assert_array_equal(gradient[~valid], 0.0)
    np.testing.assert_allclose(gradient[valid], ((softmax - truth) / valid.sum())[valid], rtol=1e-4, atol=1e-8)


@VOIDS
def test_a_batch_of_nothing_but_void_costs_nothing(void):
    labels, logits = case(void, share_of_void=1.1)
    loss, gradient = loss_and_gradient(labels, logits, void)
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_logits_are_averaged_in_32_bits(dtype):
    """A float16 sum over these pixels would be infinite, a bfloat16 one off by percents."""
    labels, logits = case(255, shape=(2, 150, 150))
    logits = tf.cast(logits, dtype)
    loss, gradient = loss_and_gradient(labels, logits, 255)
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss, slow_cross_entropy(labels, logits.numpy(), 255), rtol=1e-5)
    assert np.isfinite(gradient.astype(np.float32)).all()


def test_large_logits_are_finite():
    labels, logits = case(255)
    loss, gradient = loss_and_gradient(labels, 1e4 * logits, 255)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_shares_of_replicas_add_up_to_the_mean_over_the_global_batch():
    """One replica has nearly all of the void: a mean of means would weigh the other's pixels too little."""
    parts = [case(255, share_of_void=0.95, seed=1), case(255, share_of_void=0.05, seed=2)]
    strategy, loss = choose_strategy("mirrored"), build_cross_entropy(ignore_label=255)
    labels, logits = (
        strategy.experimental_distribute_values_from_function(
            lambda context, of=of: tf.constant(parts[context.replica_id_in_sync_group][of])
        )
        for of in (0, 1)
    )
    total = strategy.reduce("SUM", tf.function(lambda: strategy.run(loss, (labels, logits)))(), axis=None)
    whole = [np.concatenate(both) for both in zip(*parts, strict=True)]
    expected = slow_cross_entropy(*whole, 255)
    assert abs(np.mean([slow_cross_entropy(*part, 255) for part in parts]) / expected - 1) > 0.01
    np.testing.assert_allclose(total.numpy(), expected, rtol=1e-6)
