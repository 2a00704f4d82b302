"""Where the loss stops being a number, training goes on as if the learning rate had been halved at a state before."""

import csv
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from segtrain.run_folder import RunFolder
from segtrain.training.callbacks.checkpoint import Checkpoint
from segtrain.training.callbacks.metrics_csv import MetricsCsv
from segtrain.training.callbacks.terminate_on_nan import TerminateOnNaN
from segtrain.training.rollback import halve_learning_rate
from segtrain.training.state_files import find_state, go_back_to

STEPS, EPOCHS = 6, 3
RATE = 0.2


class Spoiler(keras.callbacks.Callback):
    """Spoils weights and loss at places of the training, each once: the n-th time that the place is come to."""

    def __init__(self, *places):
        super().__init__()
        self.places, self.seen = list(places), []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((self.epoch, batch))
        if self.places and self.places[0] == (self.epoch, batch):
            del self.places[0]
            logs["loss"] = float("nan")
            for variable in [*self.model.variables, *self.model.optimizer.variables[1:]]:
                if "float" in variable.dtype and "learning_rate" not in variable.path:
                    variable.assign(keras.ops.full_like(variable, np.nan))


class Halving(keras.callbacks.Callback):
    """Halves a constant learning rate before a step of the training, with no mishap before it."""

    def __init__(self, *steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_begin(self, batch, logs=None):
        for _ in range(self.steps.count(int(self.model.optimizer.iterations))):
            self.model.optimizer.learning_rate = self.model.optimizer.learning_rate * 0.5


@keras.saving.register_keras_serializable("tests")
class Steep(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls with the steps, and is halved from some of them on."""

    def __init__(self, *halved_from):
        self.halved_from = halved_from

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rate = RATE / (1 + step)
        for first in self.halved_from:
            rate = keras.ops.where(step >= first, 0.5, 1.0) * rate
        return rate


@pytest.fixture
def run(train):
    """Returns a function that trains in a folder, as the callbacks of the config do."""

    def run(path, *others, resume=False, learning_rate=RATE, keep=2, every_steps=None, max_rollbacks=3, **settings):
        path.mkdir(exist_ok=True)
        folder, warned = RunFolder(path), []
        terminate = TerminateOnNaN(action="rollback", max_rollbacks=max_rollbacks, folder=folder, warn=warned.append)
        stopping = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=9)
        checkpoint = Checkpoint(folder=folder, keep=keep, every_steps=every_steps)
        state = find_state(folder)
        if resume:
            go_back_to(folder, state)
        trained = train(
            callbacks=[*others, terminate, MetricsCsv(folder=folder), stopping, checkpoint],
            epochs=EPOCHS,
            dropout=0.5,
            learning_rate=learning_rate,
            resume_from=state.path if resume else None,
            **settings,
        )
        return SimpleNamespace(
            **vars(trained), folder=folder, warned=warned, warnings=terminate.warnings, stopping=stopping
        )

    return run


def assert_same(run, expected):
    for one, other in zip(run.model.variables, expected.model.variables, strict=True):
        one, other = (keras.ops.convert_to_numpy(each) for each in (one, other))
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)
    rows = [read_rows(each.folder) for each in (run, expected)]
    assert rows[0] == rows[1]
    assert [row["epoch"] for row in rows[0]] == ["1", "2", "3"]
    assert [epoch["epoch"] for epoch in run.history] == [1, 2, 3]
    assert (run.stopping.best, run.stopping.wait) == (expected.stopping.best, expected.stopping.wait)


def read_rows(folder):
    others = {"images_per_second", "data_wait", "seconds", "learning_rate"}
    with folder.metrics.open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if name not in others} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("schedule", "settings"),
    [
        ("constant", {}),
        ("steep", {}),
        pytest.param("steep", {"strategy": "mirrored"}, marks=pytest.mark.long),
        pytest.param("constant", {"precision": "mixed_float16"}, marks=pytest.mark.long),
        pytest.param("steep", {"precision": "mixed_float16"}, marks=pytest.mark.long),
    ],
)
def test_it_is_a_run_whose_rate_was_halved_at_the_state_gone_back_to(
    run, policy_restored, tmp_path, schedule, settings
):
    """From the beginning, then twice from the state after the first epoch: the last of them at an eighth."""
    places, halved_at = [(0, 3), (1, 2), (1, 5)], [0, STEPS, STEPS]
    if schedule == "constant":
        expected = run(tmp_path / "expected", Halving(*halved_at), **settings)
        spoiled = run(tmp_path / "spoiled", Spoiler(*places), **settings)
    else:
        expected = run(tmp_path / "expected", learning_rate=Steep(*halved_at), **settings)
        spoiled = run(tmp_path / "spoiled", Spoiler(*places), learning_rate=Steep(), **settings)
    assert_same(spoiled, expected)
    falls = schedule == "steep"
    rates = [RATE * factor / (1 + STEPS * epoch * falls) for epoch, factor in ((1, 1 / 2), (2, 1 / 8), (3, 1 / 8))]
    assert [epoch["learning_rate"] for epoch in spoiled.history] == pytest.approx(rates)
    assert spoiled.warned == spoiled.warnings
    assert len(spoiled.warned) == 3
    first, _, third = spoiled.warned
    at = RATE / (1 + 4 * falls)
    assert first.startswith(f"rollback 1 of 3: the loss became nan in epoch 1, step 4, at learning rate {at:.3g}; ")
    assert first.endswith(f"goes on from epoch-0000-step-00000.npz at learning rate {RATE / 2:.3g}")
    assert third.startswith("rollback 3 of 3: the loss became nan in epoch 2, step 6, at learning rate ")
    assert third.endswith(
        f"goes on from epoch-0001-step-00000.npz at learning rate {RATE / 8 / (1 + STEPS * falls):.3g}"
    )
    assert not expected.warned


@pytest.mark.parametrize(
    ("schedule", "moment"),
    [
        ("constant", "after a save"),
        ("steep", "before one"),
        pytest.param("constant", "before one", marks=pytest.mark.long),
        pytest.param("steep", "after a save", marks=pytest.mark.long),
    ],
)
def test_a_run_that_is_killed_after_a_rollback_goes_on_with_its_rate_and_count(run, tmp_path, schedule, moment):
    class KilledError(Exception):
        pass

    class Killer(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if len(spoiler.seen) == {"after a save": STEPS + 3 + STEPS + 2, "before one": STEPS + 3 + 2}[moment]:
                raise KilledError

    rate = {"constant": lambda: RATE, "steep": Steep}[schedule]
    undisturbed = run(tmp_path / "whole", Spoiler((1, 2)), learning_rate=rate())
    spoiler = Spoiler((1, 2))
    with pytest.raises(KilledError):
        run(tmp_path / "killed", spoiler, Killer(), learning_rate=rate())
    resumed = run(tmp_path / "killed", resume=True, learning_rate=rate())
    assert_same(resumed, undisturbed)
    assert resumed.warned == []  # it was, before
    assert resumed.warnings == undisturbed.warnings
    assert len(resumed.warnings) == 1


def test_a_state_whose_own_loss_is_no_number_is_none_to_go_back_to(run, tmp_path):
    """Saved after each third step, and before validation: of the two at an epoch's end neither is."""
    trained = run(tmp_path, Spoiler((0, 3), (1, 0)), every_steps=3, keep=3)
    names = [line.partition("goes on from ")[2].partition(".")[0] for line in trained.warnings]
    assert names == ["epoch-0000-step-00000", "epoch-0000-step-00003"]
    assert [row["epoch"] for row in read_rows(trained.folder)] == ["1", "2", "3"]
    assert trained.history[-1]["learning_rate"] == pytest.approx(RATE / 4)


def test_it_stops_where_going_back_has_not_helped_often_enough(run, tmp_path):
    spoiler = Spoiler(*[(1, 2)] * 9)
    with pytest.raises(FloatingPointError, match=r"epoch 2, step 3, at learning rate 0\.05 after 2 rollbacks\. "):
        run(tmp_path, spoiler, max_rollbacks=2)
    assert spoiler.seen.count((1, 2)) == 3
    assert spoiler.seen.count((0, 2)) == 1


def test_it_stops_at_once_where_the_first_loss_is_no_number(run, tmp_path):
    with pytest.raises(FloatingPointError, match=r"epoch 1, step 1, at learning rate 0\.2\. "):
        run(tmp_path, Spoiler((0, 0)))


def test_a_run_that_is_to_stop_saves_no_beginning(train, tmp_path):
    train(epochs=1, callbacks=[TerminateOnNaN(folder=RunFolder(tmp_path))])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scaled", [False, True])
def test_a_rate_is_halved_once_for_each_time(scaled):
    for rate, first in ((0.8, 0.8), (keras.optimizers.schedules.ExponentialDecay(0.8, 10, 0.5), 0.8)):
        optimizer = keras.optimizers.SGD(rate)
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer
        assert halve_learning_rate(optimizer, 1, counted=0) == pytest.approx(first / 2)
        assert halve_learning_rate(optimizer, 3, counted=1) == pytest.approx(first / 8)
        assert float(optimizer.learning_rate) == pytest.approx(first / 8)
