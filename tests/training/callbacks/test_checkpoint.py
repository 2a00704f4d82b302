"""best.keras is the best epoch's network and nothing else; last/ is the last epoch's, with all that trains it."""

import zipfile

import h5py
import keras
import numpy as np
import pytest

from segtrain.training.callbacks.checkpoint import Checkpoint
from segtrain.training.state import load_state


def number_the_weights(model, epoch):
    model.get_layer("logits").bias.assign(np.full(5, epoch + 1))


def epoch_of(model):
    return model.get_layer("logits").bias.numpy()[0]


def scores(values, name="val_mean_iou"):
    return [{"loss": 1.0, name: value} for value in values]


@pytest.mark.parametrize(
    ("mode", "values", "best_epoch"),
    [
        ("max", [0.5, 0.4, 0.45], 1),
        ("max", [0.3, 0.6, 0.5], 2),
        ("max", [0.5, 0.5, 0.5], 1),
        ("max", [float("nan"), 0.1, float("nan")], 2),
        ("max", [float("nan"), float("nan")], 1),
        ("min", [0.5, 0.4, 0.45], 2),
        ("min", [0.1, 0.4], 1),
    ],
)
def test_best_is_kept_whatever_follows(folder, drive, mode, values, best_epoch):
    checkpoint = drive(Checkpoint(folder=folder, mode=mode), scores(values), number_the_weights).callback
    assert checkpoint.best_epoch == best_epoch
    assert epoch_of(keras.saving.load_model(folder.best_model)) == best_epoch
    assert sorted(path.name for path in folder.best_model.parent.iterdir()) == ["best.keras", "last"]


def test_last_is_the_last_epoch_with_its_optimizer(folder, drive, small_model):
    drive(Checkpoint(folder=folder), scores([0.5, 0.4]), number_the_weights)
    small_model.optimizer.learning_rate = 0.0
    number_the_weights(small_model, 7)
    position = load_state(folder.last_state, small_model)
    assert position["epochs_done"] == 2
    assert epoch_of(small_model) == 2
    assert float(small_model.optimizer.learning_rate) == 0.25


def test_last_keeps_the_state_of_callbacks(folder, drive, small_model):
    checkpoint = Checkpoint(folder=folder)
    stopping = keras.callbacks.EarlyStopping()
    stopping.wait = 3
    checkpoint.keep_state_of([checkpoint, stopping])
    drive(checkpoint, scores([0.25, 0.5, 0.125]))
    kept = load_state(folder.last_state, small_model)["callbacks"]
    assert kept["Checkpoint"] == {"best": 0.5, "best_epoch": 2}
    assert kept["EarlyStopping"]["wait"] == 3


def test_best_has_no_optimizer_and_the_model_keeps_its_own(folder, drive, small_model):
    optimizer = small_model.optimizer
    drive(Checkpoint(folder=folder), scores([0.5]))
    assert small_model.optimizer is optimizer
    with zipfile.ZipFile(folder.best_model) as archive, archive.open("model.weights.h5") as file:
        assert "optimizer" not in h5py.File(file, "r")
    assert getattr(keras.saving.load_model(folder.best_model), "optimizer", None) is None


def test_another_log_may_decide(folder, drive):
    checkpoint = Checkpoint(folder=folder, monitor="val_loss", mode="min")
    assert drive(checkpoint, scores([3.0, 1.0, 2.0], "val_loss")).callback.best_epoch == 2


def test_a_failure_while_writing_leaves_the_former_best(folder, drive, monkeypatch):
    drive(Checkpoint(folder=folder), scores([0.5]), number_the_weights)

    def fill_the_disk(model, path, *args, **kwargs):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        drive(Checkpoint(folder=folder), scores([0.9]))
    assert epoch_of(keras.saving.load_model(folder.best_model)) == 1
    assert sorted(path.name for path in folder.best_model.parent.iterdir()) == ["best.keras", "last"]


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_best_of_a_run_is_the_network_of_its_best_epoch(finished_run, strategy):
    run = finished_run(strategy)
    best = int(np.argmax([epoch["val_mean_iou"] for epoch in run.history]))
    loaded = keras.saving.load_model(run.folder.best_model)
    for saved, seen in zip(loaded.get_weights(), run.witness.weights[best], strict=True):
        np.testing.assert_array_equal(saved, seen)
