"""A run whose loss stops being a number, from the command line on, with a loss of one's own."""

import csv
import json

import numpy as np
import pytest

from segtrain.run_folder import RunFolder
from segtrain.training.state_files import find_state

LOSS = '''
import tensorflow as tf

from segtrain.training.losses.cross_entropy import build_cross_entropy


def build_spoiled(*, ignore_label: int, first: int, last: int):
    """Cross-entropy, but NaN from one call to another; validation calls it too."""
    cross_entropy = build_cross_entropy(ignore_label=ignore_label)
    calls = tf.Variable(0)

    def loss(labels, logits):
        call = calls.assign_add(1)
        return tf.where((call >= first) & (call <= last), float("nan"), cross_entropy(labels, logits))

    return loss
'''
# Three steps an epoch and three of validation: the eighth call is of the second epoch's second step.
SETTINGS = [
    "--config-name", "smoke", "model.width=4", "loss=spoiled", "loss.first=8", "seed=1", "schedule=constant",
    "~callbacks.pictures",
]  # fmt: skip
ALLOWED = "allow_targets=[my_losses.]"


@pytest.fixture(autouse=True)
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use."""


@pytest.fixture
def segtrain(segtrain, tmp_path, monkeypatch):
    """Runs a command line in a folder with a package of one's own."""
    (tmp_path / "my_losses.py").write_text(LOSS, encoding="utf-8")
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "spoiled.yaml").write_text(
        "_target_: my_losses.build_spoiled\nfirst: 8\nlast: 8\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return segtrain


def read_results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))


def read_rows(folder):
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [(row["epoch"], float(row["learning_rate"])) for row in csv.DictReader(file)]


def test_a_run_goes_back_and_is_resumed_with_what_is_allowed(segtrain, tmp_path):
    folder = tmp_path / "run"
    command = ["--config-dir", "conf", *SETTINGS, "callbacks.terminate_on_nan.action=rollback", "hydra.run.dir=run"]
    refused = segtrain(*command)
    assert refused.status == 2
    assert ALLOWED in refused.errors
    finished = segtrain(*command, ALLOWED, "optimizer.learning_rate=0.08")
    assert finished.status == 0, finished.errors
    line = (
        "rollback 1 of 3: the loss became nan in epoch 2, step 2, at learning rate 0.08; goes on from "
        "epoch-0001-step-00000.npz at learning rate 0.04"
    )
    assert finished.output.count(f"warning: {line}\n") == 1
    results = read_results(folder)
    assert (results["status"], results["epochs"], results["warnings"][0]) == ("completed", 2, line)
    assert line in (folder / "report.html").read_text("utf-8")
    assert read_rows(folder) == [("1", pytest.approx(0.08)), ("2", pytest.approx(0.04))]

    refused = segtrain("resume", "run", "epochs=3")
    assert refused.status == 2
    assert refused.errors.count("\n") == 1
    assert ALLOWED in refused.errors
    resumed = segtrain("resume", "run", "epochs=3", ALLOWED)
    assert resumed.status == 0, resumed.errors
    results = read_results(folder)
    assert (results["status"], results["epochs"], results["warnings"][0]) == ("completed", 3, line)
    assert read_rows(folder) == [("1", pytest.approx(0.08)), ("2", pytest.approx(0.04)), ("3", pytest.approx(0.04))]


@pytest.mark.long
def test_a_run_that_cannot_be_helped_fails(segtrain, tmp_path):
    command = ["--config-dir", "conf", *SETTINGS, "loss.last=99", "callbacks.terminate_on_nan.action=rollback"]
    finished = segtrain(*command, "callbacks.terminate_on_nan.max_rollbacks=1", "hydra.run.dir=run", ALLOWED)
    assert finished.status == 1
    assert "after 1 rollback. " in finished.errors
    assert finished.errors.count("\n") == 1
    results = read_results(tmp_path / "run")
    assert results["status"] == "failed"
    assert sum(warning.startswith("rollback 1 of 1: ") for warning in results["warnings"]) == 1
    state = find_state(RunFolder(tmp_path / "run"))
    assert (state.epoch, state.step) == (1, 0)
    with np.load(state.path) as arrays:
        assert len(arrays.files) > 20
        assert all(np.isfinite(arrays[name]).all() for name in arrays.files if name != "facts")
