"""What reaches the optimizer, against NumPy: on one device and on two, with and without a scaled loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.training.gradients import apply_gradients
from segtrain.training.trainer import Trainer

# Gradients of two variables, as the first and the second of two replicas have them. They add up to norm 13.
FIRST = [[1.0, 4.0], [10.0]]
SECOND = [[2.0, 0.0], [2.0]]
SUM = [np.add(one, other) for one, other in zip(FIRST, SECOND, strict=True)]


@pytest.fixture
def step(two_devices, policy_restored):
    """Returns a function that takes SGD steps of rate 1 from zero, and returns what they moved the variables by."""

    def step(strategy, *, scaled=False, gradients=(FIRST, SECOND), loss=(1.0, 1.0), steps=1, **clipping):
        trainer = Trainer(strategy=strategy)
        with trainer.scope():
            variables = [keras.Variable(np.zeros(2)), keras.Variable(np.zeros(1))]
            optimizer = keras.optimizers.SGD(1.0, **clipping)
            if scaled:
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1024.0)
            optimizer.build(variables)

        @tf.function
        def run():
            def replica_step():
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group
                shares = [tf.constant(both) for both in zip(*gradients, strict=True)]
                own = [share[replica] if trainer.num_replicas > 1 else tf.reduce_sum(share, 0) for share in shares]
                own = [optimizer.scale_loss(each) for each in own]
                apply_gradients(optimizer, variables, own, tf.constant(loss)[replica], trainer.num_replicas)

            trainer.strategy.run(replica_step)

        for _ in range(steps):
            run()
        moved = [-each.numpy() for each in variables]
        scale = float(keras.ops.convert_to_numpy(optimizer.dynamic_scale)) if scaled else None
        return moved, scale, int(keras.ops.convert_to_numpy(optimizer.iterations))

    return step


def clipped(kind, bound):
    norm = np.sqrt(sum(np.sum(each**2) for each in SUM))
    assert norm == 13.0
    return {
        "global_clipnorm": [each * min(1, bound / norm) for each in SUM],
        "clipnorm": [each * min(1, bound / np.linalg.norm(each)) for each in SUM],
        "clipvalue": [np.clip(each, -bound, bound) for each in SUM],
    }[kind]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("strategy", ["one", "mirrored"])
@pytest.mark.parametrize(("kind", "bound"), [("global_clipnorm", 6.5), ("global_clipnorm", 20.0), ("clipnorm", 4.0)])
def test_the_sum_over_replicas_is_clipped(step, strategy, scaled, kind, bound):
    """Each replica's own is another: 10.8 and 2.8 are their norms, of which the second is not cut."""
    moved, _, _ = step(strategy, scaled=scaled, **{kind: bound})
    for each, expected in zip(moved, clipped(kind, bound), strict=True):
        np.testing.assert_allclose(each, expected, rtol=1e-6)


@pytest.mark.parametrize("scaled", [False, True])
def test_each_value_of_the_sum_is_clipped(step, scaled):
    moved, _, _ = step("mirrored", scaled=scaled, clipvalue=3.5)
    np.testing.assert_allclose(np.concatenate(moved), [3.0, 3.5, 3.5], rtol=1e-6)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_what_is_not_clipped_adds_up(step, strategy, scaled):
    moved, _, iterations = step(strategy, scaled=scaled, steps=2)
    np.testing.assert_allclose(np.concatenate(moved), 2 * np.concatenate(SUM), rtol=1e-6)
    assert iterations == 2


@pytest.mark.parametrize("clipping", [{}, {"global_clipnorm": 1.0}, {"clipvalue": 1.0}])
@pytest.mark.parametrize("overflows", [0, 1])
def test_replicas_leave_a_step_out_together(step, overflows, clipping):
    """One replica's gradient has overflowed: no weight moves, and the scale is halved in both."""
    gradients = [FIRST, SECOND]
    gradients[overflows] = [[float("inf"), 0.0], [1.0]]
    moved, scale, iterations = step("mirrored", scaled=True, gradients=gradients, **clipping)
    assert np.concatenate(moved).tolist() == [0.0, 0.0, 0.0]
    assert (scale, iterations) == (512.0, 0)


def test_replicas_whose_loss_is_no_number_count_as_zero(step):
    moved, _, _ = step("mirrored", loss=(1.0, np.nan), gradients=(FIRST, [[np.nan, 1.0], [1.0]]))
    assert np.concatenate(moved).tolist() == [1.0, 4.0, 10.0]
