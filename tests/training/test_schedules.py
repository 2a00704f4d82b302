"""Schedules, against their formulas."""

import keras
import numpy as np
import pytest

from segtrain.training.schedules import build_constant, build_cosine, build_polynomial

RATE, STEPS_PER_EPOCH, EPOCHS = 0.2, 5, 4
STEPS = STEPS_PER_EPOCH * EPOCHS
OF_RUN = {"learning_rate": RATE, "steps_per_epoch": STEPS_PER_EPOCH, "epochs": EPOCHS}


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


def test_constant_is_the_rate_itself():
    """A number, not a schedule: what ReduceLROnPlateau needs."""
    assert build_constant(learning_rate=RATE) is RATE


@pytest.mark.parametrize("power", [0.9, 2.0])
@pytest.mark.parametrize("end_share", [0.0, 0.1])
def test_polynomial(power, end_share):
    schedule = build_polynomial(**OF_RUN, power=power, end_share=end_share)
    steps = np.arange(STEPS + 1)
    expected = RATE * (end_share + (1 - end_share) * (1 - steps / STEPS) ** power)
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(rates(schedule, [0, STEPS, STEPS + 7]), [RATE, *[end_share * RATE] * 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("warmup_epochs", "warmup_steps"),
    [(0.0, 0), (1.0, 5), (0.5, 2), (0.05, 0), (100.0, STEPS // 2)],
    ids=["none", "an epoch", "half an epoch", "less than a step", "at most half the run"],
)
@pytest.mark.parametrize("end_share", [0.0, 0.01])
def test_cosine_with_warm_up(warmup_epochs, warmup_steps, end_share):
    schedule = build_cosine(**OF_RUN, warmup_epochs=warmup_epochs, end_share=end_share)
    steps = np.arange(STEPS + 1)
    falling = np.clip((steps - warmup_steps) / (STEPS - warmup_steps), 0, 1)
    expected = RATE * (end_share + (1 - end_share) * (1 + np.cos(np.pi * falling)) / 2)
    expected[:warmup_steps] = RATE * steps[:warmup_steps] / max(warmup_steps, 1)
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=1e-5, atol=1e-7)
    first, peak, last = rates(schedule, [0, warmup_steps, STEPS])
    assert first == pytest.approx(0.0 if warmup_steps else RATE)
    assert peak == pytest.approx(RATE)
    assert last == pytest.approx(end_share * RATE, abs=1e-7)


def test_one_step_is_enough():
    assert np.isfinite(rates(build_cosine(learning_rate=RATE, steps_per_epoch=1, epochs=1), [0, 1])).all()


@pytest.mark.parametrize("build", [build_constant, build_polynomial, build_cosine])
def test_an_optimizer_takes_it(build):
    """And counts its steps: after the last of the run it stands where the schedule ends."""
    learning_rate = build(**OF_RUN) if build is not build_constant else build(learning_rate=RATE)
    optimizer = keras.optimizers.SGD(learning_rate)
    variable = keras.Variable([0.0])
    optimizer.build([variable])
    for _ in range(STEPS):
        optimizer.apply([np.zeros(1, np.float32)])
    expected = {build_constant: RATE, build_polynomial: 0.0, build_cosine: 0.01 * RATE}[build]
    assert float(optimizer.learning_rate) == pytest.approx(expected, abs=1e-7)


def test_a_whole_number_is_a_rate_that_keras_takes():
    rate = build_constant(learning_rate=1)
    assert float(keras.optimizers.SGD(rate).learning_rate) == 1.0
