"""Optimizers hand on what they are told: no argument may be dropped or swapped."""

import keras
import numpy as np
import pytest

from segtrain.training.optimizers import build_adam, build_adamw, build_sgd

ADAM = {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.125}


@pytest.mark.parametrize(
    ("build", "kind", "options"),
    [
        (build_adam, keras.optimizers.Adam, ADAM),
        *(
            (build, kind, {"learning_rate": 0.5, "global_clipnorm": 2.0, "use_ema": True, "ema_momentum": 0.75})
            for build, kind in (
                (build_adam, keras.optimizers.Adam),
                (build_adamw, keras.optimizers.AdamW),
                (build_sgd, keras.optimizers.SGD),
            )
        ),
        (build_adamw, keras.optimizers.AdamW, ADAM | {"weight_decay": 0.25}),
        (build_sgd, keras.optimizers.SGD, {"learning_rate": 0.5, "momentum": 0.25, "nesterov": False}),
        (build_sgd, keras.optimizers.SGD, {"learning_rate": 0.5, "momentum": 0.75, "weight_decay": 0.125}),
    ],
)
def test_settings_arrive(build, kind, options):
    optimizer = build(**options)
    assert type(optimizer) is kind
    config = optimizer.get_config()
    assert {name: config[name] for name in options} == pytest.approx(options)


def first_steps(optimizer, gradients=(1.0, 2.0)):
    """Returns the value of a variable that was 1 after each of the gradients."""
    variable = keras.Variable([1.0])
    values = []
    for gradient in gradients:
        optimizer.apply([np.array([gradient], np.float32)], [variable])
        values.append(float(variable[0]))
    return values


def test_sgd_steps_by_its_formula():
    plain = first_steps(build_sgd(learning_rate=0.1, momentum=0.0, nesterov=False))
    assert plain == pytest.approx([1 - 0.1, 1 - 0.3])
    # velocity: -0.1, then 0.5 * -0.1 - 0.2 = -0.25
    heavy = first_steps(build_sgd(learning_rate=0.1, momentum=0.5, nesterov=False))
    assert heavy == pytest.approx([1 - 0.1, 1 - 0.35])
    # Nesterov looks a step ahead: 0.5 * velocity - 0.1 * gradient
    ahead = first_steps(build_sgd(learning_rate=0.1, momentum=0.5, nesterov=True))
    assert ahead == pytest.approx([1 - 0.15, 1 - 0.15 - 0.325])


def test_adam_steps_by_its_formula():
    """Its first step is rate * gradient / (|gradient| + epsilon / sqrt(1 - beta_2)), in Keras' form of epsilon."""
    step = 0.01 / (1 + 0.125 / 0.3**0.5)
    assert first_steps(build_adam(**ADAM), [1.0]) == pytest.approx([1 - step])
    decayed = 1 - 0.01 * 0.25  # AdamW takes rate * decay * weight off beside it
    assert first_steps(build_adamw(**ADAM, weight_decay=0.25), [1.0]) == pytest.approx([decayed - step])


def test_a_schedule_may_be_the_learning_rate():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.5, 10)
    for build in (build_adam, build_adamw, build_sgd):
        assert float(build(learning_rate=schedule).learning_rate) == pytest.approx(0.5)
