"""Runs that are killed, asked to stop and gone on with, as whole processes."""

import csv
import json
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

# Dropout and augmentation on; 15 steps an epoch, saved after each fifth, before validation too.
SETTINGS = [
    "dataset=shapes", "dataset.num_train=60", "dataset.num_val=40", "batch_size=4", "epochs=4",
    "model.width=4", "model.dropout=0.3", "optimizer=adam", "augmentation=strong",
    "trainer.deterministic=true", "callbacks.checkpoint.every_steps=5", "callbacks.pictures.num_images=1",
]  # fmt: skip
TIMINGS = {"images_per_second", "data_wait", "seconds"}


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "segtrain", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def finish(process):
    output, errors = process.communicate(timeout=300)
    return SimpleNamespace(status=process.returncode, output=output, errors=errors)


def states(folder):
    return {path.stem for path in (folder / "checkpoints/last").glob("epoch-*")}


def wait_for(process, condition):
    """Waits for a condition, or for the process to end. Returns whether it still runs."""
    deadline = time.monotonic() + 300
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline, "waited for five minutes"
        time.sleep(0.001)
    return process.poll() is None


def read_results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))


def read_rows(folder):
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMINGS} for row in csv.DictReader(file)]


def assert_same(folder, expected):
    """Weights, optimizer, random state, scores and the best network: the same bits."""
    assert states(folder) == states(expected)
    last = max(states(folder))
    one, other = (np.load(each / f"checkpoints/last/{last}.npz") for each in (folder, expected))
    arrays = [name for name in one.files if name != "facts"]
    assert len(arrays) > 100
    assert one.files == other.files
    for name in arrays:
        np.testing.assert_array_equal(one[name], other[name])
    assert read_rows(folder) == read_rows(expected)
    assert len(read_rows(folder)) == 4
    best, expected_best = (
        zipfile.ZipFile(each / "checkpoints/best.keras").read("model.weights.h5") for each in (folder, expected)
    )
    assert best == expected_best
    results, expected_results = read_results(folder), read_results(expected)
    assert results["status"] == expected_results["status"] == "completed"
    for name in ("best_epoch", "val", "epochs", "data", "warnings"):
        assert results[name] == expected_results[name]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finished = finish(start(*SETTINGS, f"hydra.run.dir={folder}"))
    assert finished.status == 0, finished.errors
    return folder


def test_a_run_that_is_stopped_and_saved_is_the_undisturbed_one(undisturbed, tmp_path):
    folder = tmp_path / "mein Lauf, a=1"
    process = start(*SETTINGS, f"hydra.run.dir={folder}")
    assert wait_for(process, lambda: "epoch-0000-step-00005" in states(folder))
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    stopped = finish(process)
    assert time.monotonic() - asked < 10
    assert stopped.status == 143
    command = shlex.join(["segtrain", "resume", str(folder)])
    assert stopped.errors == f"segtrain: error: interrupted by SIGTERM. Go on with: {command}\n"
    assert read_results(folder)["status"] == "interrupted"
    assert max(states(folder)) >= "epoch-0000-step-00005"

    resumed = finish(start(*shlex.split(command)[1:], "callbacks.checkpoint.keep=2"))
    assert resumed.status == 0, resumed.errors
    assert resumed.output.startswith("goes on after epoch 0, step ")
    assert_same(folder, undisturbed)
    assert read_results(folder)["command"] == shlex.join(["segtrain", *SETTINGS, f"hydra.run.dir={folder}"])
    assert not list(folder.rglob(".*.part*"))


def test_a_complete_run_says_so(undisturbed, segtrain):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.name != "segtrain.log"}
    finished = segtrain("resume", undisturbed)
    assert (finished.status, finished.errors) == (0, "")
    assert finished.output == f"{undisturbed} is complete: 4 epochs. To go on, type epochs=N.\n"
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resume"], "run is required"),
        (["resume", "nowhere"], "is no run folder"),
        (["resume", "RUN", "batch_size=8"], "batch_size was 4 and is 8 now"),
        (["resume", "RUN", "epochs=2"], "the run has done 4"),
        (["resume", "RUN", "epoch=9"], "epoch: there is no such setting. Did you mean 'epochs'?"),
        (["resume", "-m", "RUN", "epochs=5,6"], "sweeps are for training"),
    ],
)
def test_what_cannot_be_gone_on_with_is_told_in_a_line(undisturbed, segtrain, tmp_path, arguments, message):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    finished = segtrain(*(undisturbed if argument == "RUN" else argument for argument in arguments))
    assert finished.status == 2
    assert message in finished.errors
    assert finished.errors.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_more_epochs_after_a_damaged_state(undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    damaged = folder / f"checkpoints/last/{max(states(folder))}.npz"
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    finished = finish(start("resume", folder, "epochs=5"))
    assert finished.status == 0, finished.errors
    lines = finished.output.splitlines()
    assert lines[0] == f"{damaged.name} is damaged; the state before it is used"
    assert lines[1] == "goes on after epoch 3, step 15, from epoch-0003-step-00015.npz"
    assert "the learning rate is that of a run of 5" in lines[2]
    assert [row["epoch"] for row in read_rows(folder)] == ["1", "2", "3", "4", "5"]
    assert read_rows(folder)[:3] == read_rows(undisturbed)[:3]
    assert read_results(folder)["epochs"] == 5


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("moment", ["start", "compiling", "validation", "second signal"])
def test_every_moment_can_be_interrupted(tmp_path, number, status, moment):
    folder = tmp_path / "run"
    process = start(*SETTINGS, "dataset.num_val=4000", "epochs=2", f"hydra.run.dir={folder}")
    conditions = {
        "start": lambda: (folder / "results.json").is_file(),
        "compiling": lambda: (folder / "predictions/epoch_000.png").is_file(),
        "validation": lambda: "epoch-0000-step-00015" in states(folder),
        "second signal": lambda: "epoch-0000-step-00005" in states(folder),
    }
    assert wait_for(process, conditions[moment])
    process.send_signal(number)
    if moment == "second signal":
        time.sleep(0.02)  # two at once may arrive as one
        process.send_signal(number)
    asked = time.monotonic()
    stopped = finish(process)
    assert stopped.status == status
    assert time.monotonic() - asked < (1 if moment == "second signal" else 10)
    assert read_results(folder)["status"] == "interrupted"
    if moment != "second signal":
        assert f"segtrain resume {folder}" in stopped.errors
    if moment == "validation":
        assert max(states(folder)) == "epoch-0000-step-00015"


@pytest.mark.long
def test_usr1_saves_and_goes_on(tmp_path):
    folder = tmp_path / "run"
    process = start(
        *SETTINGS, "callbacks.checkpoint.every_steps=null", "callbacks.checkpoint.keep=99", f"hydra.run.dir={folder}"
    )
    assert wait_for(process, lambda: "epoch-0001-step-00000" in states(folder))
    within = lambda: {name for name in states(folder) if not name.endswith("step-00000")}  # noqa: E731
    while process.poll() is None and not within():  # the first may come between two epochs
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.1)
    assert finish(process).status == 0
    assert within()
    assert min(within()) > "epoch-0001"


@pytest.mark.long
def test_twenty_kills_at_random_moments_change_no_bit(undisturbed, tmp_path):
    """Of each three, one while a state is being written, one in the validation, one anywhere."""
    rng, folder, kills, left_half = random.Random(0), tmp_path / "run", 0, 0
    last = folder / "checkpoints/last"
    process = start(*SETTINGS, f"hydra.run.dir={folder}")
    while kills < 20:
        known = states(folder)
        moment = ("save", "validation", "anywhere")[kills % 3]
        # A run of this size would be over before the twentieth: of every other kill, the time until it is too short.
        runs = wait_for(process, lambda known=known: states(folder) - known or list(last.glob(".*.part.npz")))
        assert runs, finish(process).errors
        if moment == "validation":
            wait_for(process, lambda: any(name.endswith("step-00015") for name in states(folder)))
        elif moment == "anywhere":
            time.sleep(rng.random() / 4)
        process.kill()
        finish(process)
        kills += 1
        left_half += bool(list(last.glob(".*.part.npz")))
        process = start("resume", folder)
    finished = finish(process)
    assert finished.status == 0, finished.errors
    assert left_half >= 3
    assert_same(folder, undisturbed)
