"""best.keras is the best epoch's network and nothing else; last/ is the last epoch's, with all that trains it."""

import errno
import zipfile

import h5py
import keras
import numpy as np
import pytest

from segtrain.training.callbacks import checkpoint as checkpoint_module
from segtrain.training.callbacks.checkpoint import Checkpoint
from segtrain.training.state import TrainingState, load_state
from segtrain.training.state_files import find_state, go_back_to


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
    state = TrainingState(small_model)
    load_state(find_state(folder).path, state)
    assert (state.epoch, state.step) == (2, 0)
    assert epoch_of(small_model) == 2
    assert float(small_model.optimizer.learning_rate) == 0.25


def test_last_keeps_the_state_of_callbacks(folder, drive, small_model):
    checkpoint = Checkpoint(folder=folder)
    stopping = keras.callbacks.EarlyStopping()
    stopping.wait = 3
    drive(checkpoint, scores([0.25, 0.5, 0.125]), state=TrainingState(small_model, callbacks=[checkpoint, stopping]))
    others = [Checkpoint(folder=folder), keras.callbacks.EarlyStopping()]
    state = TrainingState(small_model, callbacks=others)
    load_state(find_state(folder).path, state)
    state.restore_callbacks()
    assert (others[0].best, others[0].best_epoch) == (0.5, 2)
    assert others[1].wait == 3


def test_a_worse_epoch_after_a_resumption_leaves_the_best(folder, drive, small_model):
    drive(Checkpoint(folder=folder), scores([0.25, 0.5]), number_the_weights)
    checkpoint = Checkpoint(folder=folder)
    state = TrainingState(small_model, callbacks=[checkpoint])
    load_state(find_state(folder).path, state)
    drive(checkpoint, scores([0.375, 0.0625]), number_the_weights, state=state)
    assert checkpoint.best_epoch == 2
    assert epoch_of(keras.saving.load_model(folder.best_model)) == 2
    assert find_state(folder).epoch == 4


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_so_many_states_are_kept_each_with_its_best(folder, drive, keep):
    drive(Checkpoint(folder=folder, keep=keep), scores([0.5, 0.25, 0.125, 0.75, 0.875, 0.0]), number_the_weights)
    names = [path.name for path in sorted(folder.last.iterdir())]
    assert [name for name in names if name.startswith("epoch")] == [
        f"epoch-000{epoch}-step-00000.npz" for epoch in range(7 - keep, 7)
    ]
    best = {1: [5], 2: [5], 3: [4, 5]}[keep]
    assert [name for name in names if name.startswith("best")] == [f"best-epoch-000{epoch}.keras" for epoch in best]


@pytest.mark.parametrize("moment", ["network", "state"])
def test_a_kill_within_a_save_leaves_the_best_of_the_state(folder, drive, monkeypatch, small_model, moment):
    """The epoch after is the better one: only once its state is whole it counts."""
    drive(Checkpoint(folder=folder), scores([0.5]), number_the_weights)

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    monkeypatch.setattr(checkpoint_module, {"network": "save_state", "state": "publish_best"}[moment], killed)
    checkpoint = Checkpoint(folder=folder)
    state = TrainingState(small_model, callbacks=[checkpoint])
    load_state(find_state(folder).path, state)
    with pytest.raises(Killed):
        drive(checkpoint, scores([0.75]), number_the_weights, state=state)
    assert epoch_of(keras.saving.load_model(folder.best_model)) == 1
    (folder.last / ".0123.17.part.npz").write_bytes(b"half")

    go_back_to(folder, find_state(folder))
    expected = {"network": 1, "state": 2}[moment]
    assert find_state(folder).epoch == expected
    assert epoch_of(keras.saving.load_model(folder.best_model)) == expected
    kept = [f"best-epoch-000{epoch}.keras" for epoch in range(1, expected + 1)]
    assert sorted(path.name for path in folder.last.iterdir() if path.suffix != ".npz") == kept
    assert not list(folder.last.glob(".*"))


def test_saves_within_an_epoch(folder, small_model, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(checkpoint_module.time, "monotonic", lambda: clock[0])
    for settings, expected in (({"every_steps": 4}, [4, 8]), ({"every_minutes": 0.5}, [3, 6, 9]), ({}, [])):
        checkpoint, state = Checkpoint(folder=folder, keep=9, **settings), TrainingState(small_model)
        checkpoint.set_model(small_model)
        checkpoint.set_params({"state": state})
        checkpoint.on_train_begin()
        for step in range(10):
            clock[0] += 10.0
            state.complete_step(10.0, 0.0, is_timed=True)
            checkpoint.on_train_batch_end(step)
        assert [path.name for path in sorted(folder.last.glob("*"))] == [
            f"epoch-0000-step-000{step:02}.npz" for step in expected
        ]
        for path in folder.last.glob("*"):
            path.unlink()


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


def test_a_full_disk_is_told_with_the_bytes_of_the_network(folder, drive, small_model, monkeypatch):
    def fill_the_disk(model, path, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", fill_the_disk)
    with pytest.raises(OSError, match=f"It needs {4 * (3 * 5 + 5)} bytes or more"):
        drive(Checkpoint(folder=folder), scores([0.9]))


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_best_of_a_run_is_the_network_of_its_best_epoch(finished_run, strategy):
    run = finished_run(strategy)
    best = int(np.argmax([epoch["val_mean_iou"] for epoch in run.history]))
    loaded = keras.saving.load_model(run.folder.best_model)
    for saved, seen in zip(loaded.get_weights(), run.witness.weights[best], strict=True):
        np.testing.assert_array_equal(saved, seen)


def test_best_of_a_run_on_several_devices_is_for_use_on_one(finished_run):
    run = finished_run("mirrored")
    with zipfile.ZipFile(run.folder.best_model) as archive:
        saved = archive.read("config.json").decode()
    assert '"synchronized": false' in saved
    assert '"synchronized": true' not in saved
    layers = [layer for layer in run.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert [layer.synchronized for layer in layers] == [True] * len(layers) != []
