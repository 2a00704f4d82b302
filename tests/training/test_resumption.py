"""The loop goes on from any of its states as if it had never been left: bit for bit, on one device and on two.

Here in one process, so that every place is tried; tests/test_resume.py kills real ones.
"""

import csv
import functools
import os
import signal
from types import SimpleNamespace

import albumentations
import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segtrain.augmentations.augmentation import Augmentation
from segtrain.pipeline.samples import Samples
from segtrain.run_folder import RunFolder
from segtrain.training.callbacks.checkpoint import Checkpoint
from segtrain.training.callbacks.collapse_alarm import CollapseAlarm
from segtrain.training.callbacks.metrics_csv import MetricsCsv
from segtrain.training.callbacks.pictures import Pictures
from segtrain.training.callbacks.tensorboard import TensorBoard
from segtrain.training.optimizers import build_sgd
from segtrain.training.signals import Interrupted, StopSignals
from segtrain.training.state_files import find_state, go_back_to

TIMINGS = {"images_per_second", "data_wait", "seconds"}
STEPS = 6  # of an epoch
EPOCHS = 4


class Interrupter(keras.callbacks.Callback):
    """Sends the process a signal at one place of the training, or in its validation."""

    def __init__(self, epoch, step, number=signal.SIGTERM):
        super().__init__()
        self.place, self.number, self.at = (epoch, step), number, None

    def on_epoch_begin(self, epoch, logs=None):
        self.at = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.place == (self.at, batch):
            os.kill(os.getpid(), self.number)

    def on_test_begin(self, logs=None):
        if self.place == (self.at, "validation"):
            os.kill(os.getpid(), self.number)

    def on_epoch_end(self, epoch, logs=None):
        if self.place == (epoch, "end"):
            os.kill(os.getpid(), self.number)


@pytest.fixture
def run(train, shapes_dataset):
    """Returns a function that trains in a folder from its last state, with all that has one; interrupted or not."""

    def run(folder, *others, resume=False, epochs=EPOCHS, strategy="one", **settings):
        flip = Augmentation(ignore_label=255, transforms={"flip": albumentations.HorizontalFlip(p=0.5)})
        validation = Samples(shapes_dataset, "val", image_size=(32, 32))
        parts = SimpleNamespace()

        def make_callbacks(evaluator):
            parts.alarm = CollapseAlarm(evaluator, shapes_dataset.class_names, lambda text: None)
            parts.stopping = keras.callbacks.EarlyStopping("val_mean_iou", mode="max", patience=3)
            parts.checkpoint = Checkpoint(folder=folder, keep=3)
            signals.save = parts.checkpoint.save
            return [
                MetricsCsv(folder=folder),
                Pictures(folder=folder, validation=validation, num_images=1),
                TensorBoard(folder=folder, validation=validation, evaluator=evaluator),
                keras.callbacks.ReduceLROnPlateau("val_mean_iou", mode="max", factor=0.5, patience=1),
                parts.stopping,
                parts.alarm,
                *others,
                parts.checkpoint,
            ]

        state = find_state(folder)
        if resume:
            go_back_to(folder, state)
        with StopSignals(seconds_to_leave=300.0) as signals:
            trained = train(
                strategy,
                make_callbacks=make_callbacks,
                epochs=epochs,
                dropout=0.5,
                augmentation=flip,
                learning_rate=0.2,
                prepare=spoil if resume else lambda model: None,
                signals=signals,
                resume_from=state.path if resume else None,
                **settings,
            )
        return SimpleNamespace(**vars(trained), **vars(parts))

    return run


def spoil(model):
    """Makes the model another one than it was built: what is not restored shows."""
    for variable in model.variables:
        variable.assign(keras.ops.add(variable, 1))


def read_rows(folder):
    with folder.metrics.open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMINGS} for row in csv.DictReader(file)]


def read_steps(folder):
    """Returns the steps that TensorBoard shows, by curve and tag."""
    steps = {}
    for curve in ("train", "validation"):
        events = EventAccumulator(str(folder.tensorboard / curve), size_guidance={"tensors": 0})
        events.Reload()
        for tag in events.Tags()["tensors"]:
            steps[curve, tag] = [event.step for event in events.Tensors(tag)]
    return steps


def assert_same(run, folder, expected, expected_folder):
    for one, other in zip(run.model.variables, expected.model.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other))
    assert read_rows(folder) == read_rows(expected_folder)
    assert [epoch["epoch"] for epoch in run.history] == [epoch["epoch"] for epoch in expected.history]
    assert read_steps(folder) == read_steps(expected_folder)
    for name in ("best", "wait", "best_epoch"):
        assert getattr(run.stopping, name) == getattr(expected.stopping, name)
    assert (run.checkpoint.best, run.checkpoint.best_epoch) == (
        expected.checkpoint.best,
        expected.checkpoint.best_epoch,
    )
    assert run.alarm.warnings == expected.alarm.warnings
    best, expected_best = (keras.saving.load_model(each.best_model) for each in (folder, expected_folder))
    for one, other in zip(best.get_weights(), expected_best.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    pictures = [sorted(path.name for path in each.predictions.iterdir()) for each in (folder, expected_folder)]
    assert pictures[0] == pictures[1]


ALL_PLACES = {
    (0, 0): (0, 1),
    (0, 3): (0, 4),
    (0, "validation"): (0, STEPS),
    (1, 0): (1, 1),
    (1, STEPS - 1): (1, STEPS),
    (2, "end"): (3, 0),
    (3, "validation"): (3, STEPS),
    (3, "end"): (4, 0),
}
ADDED_UP_AND_AVERAGED = {
    "batch_size": 2,
    "of_trainer": {"accumulate": 2},
    "build_optimizer": functools.partial(build_sgd, use_ema=True, ema_momentum=0.8, global_clipnorm=0.5),
}
SOME_PLACES = {place: ALL_PLACES[place] for place in ((0, 3), (0, "validation"), (2, "end"))}


@pytest.mark.parametrize(
    ("places", "settings"),
    [
        pytest.param(SOME_PLACES, {"strategy": "mirrored"}, id="two devices"),
        pytest.param(SOME_PLACES, ADDED_UP_AND_AVERAGED, id="steps of two batches, and an average"),
        *(
            pytest.param(ALL_PLACES, settings, id=name, marks=pytest.mark.long)
            for name, settings in {
                "one device, everywhere": {},
                "two devices, everywhere": {"strategy": "mirrored"},
                "scores of each image": {"strategy": "mirrored", "convention": "per_image"},
                "scaled loss": {"precision": "mixed_float16"},
                "all of it": {"strategy": "mirrored", "precision": "mixed_float16", **ADDED_UP_AND_AVERAGED},
            }.items()
        ),
    ],
)
def test_a_run_goes_on_from_anywhere_as_if_nothing_had_been(run, tmp_path, places, settings):
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    for folder in (whole, parts):
        folder.path.mkdir()
        folder.config.write_text("a: 1\n", encoding="utf-8")
    undisturbed = run(whole, **settings)
    for number, (place, position) in enumerate(places.items()):
        with pytest.raises(Interrupted):
            run(parts, Interrupter(*place), resume=number > 0, **settings)
        state = find_state(parts)
        assert (state.epoch, state.step) == position
    assert_same(run(parts, resume=True, **settings), parts, undisturbed, whole)


def test_rows_and_events_of_an_epoch_that_was_not_saved_are_written_once(run, tmp_path, monkeypatch):
    """The process is killed after metrics.csv and TensorBoard know of the epoch, before its state is on the disk."""
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")

    class KilledError(Exception):
        pass

    class Killer(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KilledError

    undisturbed = run(whole)
    with pytest.raises(KilledError):
        run(killed, Killer())
    assert len(read_rows(killed)) == 3
    assert 3 in read_steps(killed)["train", "loss"]
    with next(killed.tensorboard.glob("train/*")).open("ab") as file:
        file.write(b"half an event")
    assert_same(run(killed, resume=True), killed, undisturbed, whole)


def test_usr1_saves_where_it_comes_and_training_goes_on(run, tmp_path):
    folder, seen = RunFolder(tmp_path), []

    class Witness(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(sorted(path.stem for path in folder.last.glob("epoch*")))

    trained = run(folder, Interrupter(0, 2, signal.SIGUSR1), Witness(), epochs=1)
    assert len(trained.history) == 1
    assert seen[3] == []  # the step was done, its batch's end was not: it is saved when the next one is waited for
    assert seen[4] == ["epoch-0000-step-00003"]


@pytest.mark.long
def test_more_epochs_go_on_from_the_last(run, tmp_path):
    """Nothing in this run knows how many epochs there will be."""
    whole, longer = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "longer")
    expected = run(whole, epochs=3)
    run(longer, epochs=2)
    resumed = run(longer, resume=True, epochs=3)
    for one, other in zip(resumed.model.variables, expected.model.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other))
    assert read_rows(longer) == read_rows(whole)


def test_a_run_that_a_callback_has_stopped_stays_so_unless_it_gets_more(run, tmp_path):
    class Stopper(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch >= 1:
                self.model.stop_training = True

    folder = RunFolder(tmp_path)
    assert len(run(folder, Stopper()).history) == 2
    assert len(run(folder, Stopper(), resume=True).history) == 2
    assert len(run(folder, Stopper(), resume=True, stays_stopped=False).history) == 3
