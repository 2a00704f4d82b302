"""The choice of devices, and sums over them."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.training.replicas import (
    choose_strategy,
    divide_cpu,
    draw_by_replica,
    pays_to_compile,
    sum_over_replicas,
)


@pytest.mark.parametrize(("choice", "num_replicas"), [("one", 1), ("auto", 1), ("mirrored", 2)])
def test_choice_without_gpus(choice, num_replicas):
    """Two logical CPUs are mirrored only when asked: there is nothing to gain on one machine's cores."""
    assert choose_strategy(choice).num_replicas_in_sync == num_replicas


def test_mirrored_needs_two_devices(monkeypatch):
    one_cpu = tf.config.list_logical_devices("CPU")[:1]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: one_cpu if kind == "CPU" else [])
    with pytest.raises(ValueError, match="at least 2 devices") as error:
        choose_strategy("mirrored")
    assert "'/device:CPU:0'" in str(error.value)
    assert "Use trainer.strategy=one, or to try it on the processor add trainer.logical_cpus=2." in str(error.value)


def test_a_processor_that_is_in_use_stays_divided_as_it_is():
    divide_cpu(2)  # as the tests have it
    with pytest.raises(ValueError, match="Received: 3, after 2. Start them one by one, or add sweep.own_process=true"):
        divide_cpu(3)
    assert len(tf.config.list_logical_devices("CPU")) == 2


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_compiling_does_not_pay_without_gpus(num_replicas):
    assert pays_to_compile(num_replicas) is False


@pytest.mark.parametrize(("choice", "expected"), [("one", [1.0]), ("mirrored", [3.0, 3.0])])
def test_sum_over_replicas(choice, expected):
    strategy = choose_strategy(choice)
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(context.replica_id_in_sync_group + 1.0)
    )
    sums = strategy.run(sum_over_replicas, (values,))
    assert [float(value) for value in strategy.experimental_local_results(sums)] == expected


def test_sum_outside_of_a_strategy_is_the_value():
    assert float(sum_over_replicas(tf.constant(2.0))) == 2.0


TWO_TRAINERS = """
import tensorflow as tf
from segtrain.training.replicas import sum_over_replicas
from segtrain.training.trainer import Trainer
for size in (3, 4):
    trainer = Trainer(strategy="mirrored", logical_cpus=2)
    run = trainer.compile(lambda *_: (tf.reduce_sum(sum_over_replicas(tf.ones(size))), 0))
    assert float(run(0, 0)) == 2 * 2 * size
"""


def test_two_mirrored_runs_in_one_process():
    """As a sweep does. In a process of its own: a sum that fails takes all later ones with it."""
    finished = subprocess.run([sys.executable, "-c", TWO_TRAINERS], capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr[-1500:]


def masks_of_two_replicas(steps, generator, random_states=None):
    """Returns of each step what dropout leaves of ones, `(steps, replicas, 1000)`.

    The layer goes on from the last of the random states, where there is one, and adds the one that it ends with.
    """
    random_states = [] if random_states is None else random_states
    strategy = choose_strategy("mirrored")
    with strategy.scope():
        layer = keras.layers.Dropout(0.5, seed=3)
        generator(layer.seed_generator)
        for state in random_states[-1:]:
            layer.seed_generator.state.assign(state)

    @tf.function
    def step():
        return strategy.run(lambda: layer(tf.ones(1000), training=True))

    masks = [[part.numpy() for part in strategy.experimental_local_results(step())] for _ in range(steps)]
    random_states.append(keras.ops.convert_to_numpy(layer.seed_generator.state))
    return np.stack(masks)


def test_each_replica_drops_out_something_else_at_each_step():
    drawn = (masks_of_two_replicas(3, draw_by_replica) > 0).reshape(6, -1)
    agreement = (drawn[:, None] == drawn[None]).mean(axis=-1)
    assert np.abs(agreement[~np.eye(6, dtype=bool)] - 0.5).max() < 0.1  # six masks, none of them like another
    np.testing.assert_allclose(drawn.mean(axis=1), 0.5, atol=0.1)


def test_the_first_replica_draws_what_one_device_does():
    plain = masks_of_two_replicas(2, lambda generator: None)
    np.testing.assert_array_equal(plain[:, 0], plain[:, 1])  # what Keras does by itself
    np.testing.assert_array_equal(masks_of_two_replicas(2, draw_by_replica)[:, 0], plain[:, 0])


def test_masks_go_on_from_the_random_state_that_a_run_saves():
    """As they would have in a run that was not interrupted: of the replicas nothing else has to be kept."""
    whole, saved = masks_of_two_replicas(5, draw_by_replica), []
    masks_of_two_replicas(2, draw_by_replica, saved)
    np.testing.assert_array_equal(masks_of_two_replicas(3, draw_by_replica, saved), whole[2:])
