"""An average of the weights is what is scored and saved, and training goes on with the weights themselves."""

import functools

import keras
import numpy as np
import pytest

from segtrain.run_folder import RunFolder
from segtrain.training.callbacks.checkpoint import Checkpoint
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.optimizers import build_sgd

MOMENTUM = 0.8


def huge(labels, logits):
    """Cross-entropy times so much that scaled gradients do not fit into float16."""
    return 2.0**8 * build_cross_entropy(ignore_label=255)(labels, logits)


class Witness(keras.callbacks.Callback):
    """Keeps the trainable weights after each step, as each validation sees them, and at each epoch's end."""

    def __init__(self):
        super().__init__()
        self.of_steps, self.validated, self.of_epochs, self.scales = [], [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.of_steps.append(self._weights())
        self.scales.append(float(keras.ops.convert_to_numpy(getattr(self.model.optimizer, "dynamic_scale", 1.0))))

    def on_test_begin(self, logs=None):
        self.validated.append(self._weights())

    def on_epoch_end(self, epoch, logs=None):
        self.of_epochs.append(self._weights())

    def _weights(self):
        return flat(self.model)


def flat(model):
    return np.concatenate([keras.ops.convert_to_numpy(each).ravel() for each in model.trainable_variables])


@pytest.fixture(scope="module")
def averaged(train, tmp_path_factory):
    @functools.cache
    def averaged(use_ema=True, **settings):
        witness, folder = Witness(), RunFolder(tmp_path_factory.mktemp("run"))
        build = functools.partial(build_sgd, use_ema=use_ema, ema_momentum=MOMENTUM)
        callbacks = [witness, Checkpoint(folder=folder, monitor="loss", mode="min")]
        run = train(callbacks=callbacks, build_optimizer=build, epochs=3, **settings)
        return run, witness, folder

    return averaged


def average(of_steps):
    """The first step's weights, and from there on what NumPy makes of the others."""
    value = of_steps[0].astype(np.float64)
    for weights in of_steps[1:]:
        value = MOMENTUM * value + (1 - MOMENTUM) * weights
    return value


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_the_average_is_scored_and_seen_by_callbacks(averaged, strategy):
    run, witness, _ = averaged(strategy=strategy)
    for epoch in range(3):
        expected = average(witness.of_steps[: 6 * (epoch + 1)])
        assert np.linalg.norm(expected - witness.of_steps[6 * epoch + 5]) > 0.01 * np.linalg.norm(expected)
        np.testing.assert_allclose(witness.validated[epoch], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(witness.of_epochs[epoch], witness.validated[epoch])
    np.testing.assert_array_equal(flat(run.model), witness.validated[-1])
    assert run.evaluator.run().loss == pytest.approx(run.history[-1]["val_loss"], rel=1e-6)


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_training_goes_on_as_without_an_average(averaged, strategy):
    (_, witness, _), (_, without, _) = averaged(strategy=strategy), averaged(False, strategy=strategy)
    np.testing.assert_array_equal(witness.of_steps, without.of_steps)
    assert np.any(witness.validated[0] != without.validated[0])


def test_the_average_is_saved(averaged):
    run, witness, folder = averaged(strategy="one")
    assert run.history[2]["loss"] == min(epoch["loss"] for epoch in run.history)
    saved = keras.saving.load_model(folder.best_model)
    np.testing.assert_array_equal(flat(saved), witness.validated[2])


def test_a_step_that_is_left_out_is_not_averaged(averaged, policy_restored):
    """Scaled gradients overflow in the first steps: before one that counts, the average would be zero."""
    run, witness, _ = averaged(precision="mixed_float16", loss=huge, learning_rate=0.1 * 2.0**-8)
    steps = [
        weights
        for weights, before, after in zip(witness.of_steps, [2.0**15, *witness.scales], witness.scales, strict=False)
        if after >= before
    ]
    assert 0 < len(steps) < 18
    np.testing.assert_allclose(witness.validated[-1], average(steps), rtol=1e-4, atol=1e-6)
