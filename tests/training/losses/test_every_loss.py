"""What every loss promises, over every option of the group; each has its own definition tested in a file of its own."""

import hydra
import numpy as np
import pytest
import tensorflow as tf
from omegaconf import OmegaConf

from segtrain.command.composition import config_folder
from segtrain.instantiate import build
from segtrain.pipeline.class_balance import ClassBalance
from segtrain.training.replicas import choose_strategy

NAMES = sorted(path.stem for path in (config_folder() / "loss").glob("*.yaml"))
# These choose or sort pixels, which each replica does among its own.
WITHIN_A_REPLICA = {"lovasz", "ohem"}
NUM_CLASSES, VOID = 6, 255
# Weights of 1 to 20.
BALANCE = ClassBalance(np.array([900, 500, 300, 100, 80, 45]), np.full(6, 2400), 2400, 10)


def build_loss(name, ignore_label=VOID):
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose("config", [f"loss={name}"])
    return build(
        OmegaConf.to_container(config.loss, resolve=True),
        ignore_label=ignore_label,
        class_names=[f"class {class_id}" for class_id in range(NUM_CLASSES)],
        class_balance=lambda: BALANCE,
    )


def case(seed=0, shape=(2, 6, 8), share_of_void=0.3, void=VOID, scale=3.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, NUM_CLASSES, shape)
    labels[rng.random(shape) < share_of_void] = void
    return labels.astype(np.uint8), rng.normal(0, scale, (*shape, NUM_CLASSES)).astype(np.float32)


def loss_and_gradient(loss, labels, logits):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(tf.constant(labels), logits)
    return value.numpy(), tape.gradient(value, logits).numpy()


def test_all_options_are_looked_at():
    assert len(NAMES) == 9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("void", [255, NUM_CLASSES])
def test_void_pixels_count_nowhere(name, void):
    labels, logits = case(void=void)
    loss = build_loss(name, void)
    value, gradient = loss_and_gradient(loss, labels, logits)
    assert value.dtype == np.float32
    assert value > 0
    is_void = labels == void
    assert is_void.sum() > 10
    np.testing.assert_array_equal(gradient[is_void], 0.0)
    assert np.abs(gradient[~is_void]).max() > 0
    shuffled = logits.copy()
    shuffled[is_void] = np.random.default_rng(9).normal(0, 9, shuffled[is_void].shape)
    np.testing.assert_allclose(loss_and_gradient(loss, labels, shuffled)[0], value, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_nothing_but_void_costs_nothing(name):
    value, gradient = loss_and_gradient(build_loss(name), *case(share_of_void=1.1))
    assert value == 0.0
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [3.0, 3000.0])
def test_float16_logits_of_a_large_image_have_finite_gradients(name, scale):
    labels, logits = case(shape=(1, 512, 512), scale=scale)
    logits = np.clip(logits, -60000, 60000).astype(np.float16)
    value, gradient = loss_and_gradient(build_loss(name), labels, logits)
    assert value.dtype == np.float32
    assert np.isfinite(value)
    assert np.isfinite(gradient.astype(np.float32)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_right_answer_costs_least(name):
    labels, _ = case()
    right = 20 * (labels[..., None] == np.arange(NUM_CLASSES)).astype(np.float32)
    loss = build_loss(name)
    best = loss_and_gradient(loss, labels, right)[0]
    assert best < 2.5
    for seed in range(3):
        assert loss_and_gradient(loss, labels, right + 30 * case(seed)[1])[0] > best
    if name != "label_smoothing":
        assert best < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_small_differences(name):
    labels, logits = case(shape=(1, 3, 4), scale=1.0)
    loss = build_loss(name)
    _, gradient = loss_and_gradient(loss, labels, logits)
    step = 1e-2
    checked = 0
    for place in list(np.ndindex(logits.shape))[::7]:
        up, down = logits.copy(), logits.copy()
        up[place] += step
        down[place] -= step
        slope = (loss_and_gradient(loss, labels, up)[0] - loss_and_gradient(loss, labels, down)[0]) / (2 * step)
        np.testing.assert_allclose(gradient[place], slope, rtol=0.05, atol=2e-4)
        checked += 1
    assert checked == 11


@pytest.mark.parametrize("name", sorted(set(NAMES) - WITHIN_A_REPLICA))
def test_shares_of_replicas_add_up_to_the_loss_of_the_global_batch(name):
    """In value and in gradient, though one replica has nearly all of the void."""
    parts = [case(seed=1, share_of_void=0.9), case(seed=2, share_of_void=0.05)]
    whole = [np.concatenate(both) for both in zip(*parts, strict=True)]
    expected, expected_gradient = loss_and_gradient(build_loss(name), *whole)
    found, found_gradient = by_two_replicas(build_loss(name), parts)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found_gradient, expected_gradient, rtol=1e-4, atol=1e-7)


def by_two_replicas(loss, parts):
    """Returns the sum of the replicas' shares of a loss and their gradients, one after the other."""
    strategy = choose_strategy("mirrored")

    def of_replica(context, which):
        return tf.constant(parts[context.replica_id_in_sync_group][which])

    labels, logits = (
        strategy.experimental_distribute_values_from_function(lambda context, which=which: of_replica(context, which))
        for which in (0, 1)
    )

    def share_and_gradient(labels, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            share = loss(labels, logits)
        return share, tape.gradient(share, logits)

    shares, gradients = tf.function(lambda: strategy.run(share_and_gradient, (labels, logits)))()
    gradient = np.concatenate([each.numpy() for each in strategy.experimental_local_results(gradients)])
    return strategy.reduce("SUM", shares, axis=None).numpy(), gradient


def own_costs_that_count(name, labels, logits):
    """Returns of one replica, by NumPy and its loss alone, what it adds to the sum and how many pixels that is over."""
    valid = labels != VOID
    if name == "lovasz":
        return loss_and_gradient(build_loss(name), labels, logits)[0] * valid.sum(), valid.sum()
    scores = np.exp(logits[valid].astype(np.float64))
    of_truth = scores[np.arange(len(scores)), labels[valid]] / scores.sum(axis=1)
    least = max(1, int(np.ceil(0.0625 * valid.sum())))
    hard = np.sort(of_truth)[: max(least, (of_truth < 0.7).sum())]
    return -np.log(hard).sum(), len(hard)


@pytest.mark.parametrize("name", sorted(WITHIN_A_REPLICA))
def test_what_each_replica_sorts_by_itself_is_averaged_over_the_pixels_that_count(name):
    parts = [case(seed=1, share_of_void=0.9), case(seed=2, share_of_void=0.05)]
    found, _ = by_two_replicas(build_loss(name), parts)
    sums, counts = zip(*(own_costs_that_count(name, *part) for part in parts), strict=True)
    assert counts[1] > 4 * counts[0] > 0  # a mean of the two means would be another number
    np.testing.assert_allclose(found, sum(sums) / sum(counts), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_loss_is_the_same(name):
    labels, logits = case()
    loss = build_loss(name)
    compiled = tf.function(loss, jit_compile=True)(tf.constant(labels), tf.constant(logits))
    np.testing.assert_allclose(compiled.numpy(), loss_and_gradient(loss, labels, logits)[0], rtol=1e-5)
