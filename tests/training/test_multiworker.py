"""Several processes train as one does."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from segtrain.training.cluster import Cluster, free_addresses
from segtrain.training.meeting import wait_for_others

SCRIPT = Path(__file__).with_name("train_in_process.py")
SETTINGS = [
    "dataset=shapes", "dataset.num_train=8", "dataset.num_val=3", "batch_size=4", "image_size=[32,32]",
    "model.width=4", "augmentation=none", "trainer.strategy=multiworker",
]  # fmt: skip
LOCAL = "trainer.workers=2"


def cluster_of(count):
    """Returns a cluster of processes of this machine, which may be more than it has cores."""
    return Cluster(free_addresses(count), 0)


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def segtrain(*arguments, **environment):
    return start("-m", "segtrain", *arguments, **environment)


def workers(count, *arguments, **environment):
    """Starts the workers of a cluster, each with the same command."""
    cluster = cluster_of(count)
    return [segtrain(*arguments, TF_CONFIG=cluster.tf_config(index), **environment) for index in range(count)]


def finish(*processes, status=0):
    """Waits for processes. Returns the last line of errors of each."""
    told = []
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == status, errors
        told.append((errors.splitlines() or [""])[-1])
    return told


def wait_for(process, condition):
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))


def rows(folder):
    """Returns the lines of metrics.csv, without what is measured of time."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [[float(value) for value in list(row.values())[:-3]] for row in csv.DictReader(file)]


def files(folder):
    """Returns all that is in a folder; the files of TensorBoard have the time and the process in their names."""
    return sorted(path.relative_to(folder).as_posix().partition(".out.tfevents.")[0] for path in folder.rglob("*"))


def assert_same_states(one, other):
    one, other = (np.load(max(each.glob("checkpoints/last/*.npz"))) for each in (one, other))
    assert one.files == other.files
    for name in set(one.files) - {"facts"}:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.fixture(autouse=True)
def left_behind(tmp_path_factory, monkeypatch):
    """Returns a function: the folders of workers that are there. TensorFlow may leave files of its own beside them."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    return lambda: list(folder.glob("*segtrain-*"))


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Returns a function: for so many workers, what came of each, and of one process with the same batches."""
    made = {}

    def numbers(count):
        if count not in made:
            folder, cluster, batch_size = tmp_path_factory.mktemp("numbers"), cluster_of(count), 2 * count
            processes = [
                start(
                    SCRIPT,
                    "multiworker",
                    folder / f"worker_{index}.npz",
                    batch_size,
                    TF_CONFIG=cluster.tf_config(index),
                )
                for index in range(count)
            ]
            finish(*processes)
            for strategy in ("one", *(["mirrored"] if count == 2 else [])):
                finish(start(SCRIPT, strategy, folder / f"{strategy}.npz", batch_size))
            made[count] = {path.stem: np.load(path) for path in folder.glob("*.npz")}
        return made[count]

    return numbers


@pytest.mark.long
@pytest.mark.parametrize(
    ("count", "which"), [(2, "mirrored"), (2, "worker_0"), (2, "worker_1"), (3, "worker_0"), (3, "worker_2")]
)
def test_the_numbers_are_those_of_one_device(numbers, count, which):
    expected, received = numbers(count)["one"], numbers(count)[which]
    assert len(expected["losses"]) >= 30
    np.testing.assert_allclose(received["losses"], expected["losses"], rtol=1e-5)
    np.testing.assert_allclose(received["metrics"], expected["metrics"], rtol=1e-5)
    np.testing.assert_array_equal(received["confusion"], expected["confusion"])
    assert expected["confusion"].sum() > 8 * 32 * 32 * 0.9


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3])
def test_all_workers_log_the_same_bits(numbers, count):
    for name in ("losses", "metrics", "confusion"):
        for index in range(1, count):
            np.testing.assert_array_equal(numbers(count)["worker_0"][name], numbers(count)[f"worker_{index}"][name])


def test_a_run_makes_its_workers_and_writes_one_folder(tmp_path, left_behind):
    folder = tmp_path / "run"
    process = segtrain("train", *SETTINGS, LOCAL, "epochs=1", "callbacks=csv", f"hydra.run.dir={folder}")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert results(folder)["status"] == "completed"
    assert len(rows(folder)) == 1  # the chief's epoch
    assert output.count("val mIoU") == 1  # the chief alone prints
    assert (folder / "segtrain.worker-1.log").read_text("utf-8") == ""
    assert os.listdir(tmp_path) == ["run"]
    assert not left_behind()
    overrides = (folder / ".hydra" / "overrides.yaml").read_text("utf-8")
    assert f"- {LOCAL}\n" in overrides
    assert "null" not in overrides


@pytest.mark.long
def test_workers_that_are_given_one_folder_leave_what_one_process_does(tmp_path, left_behind):
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder in (alone, together):
        folder.mkdir()
    finish(segtrain("train", *SETTINGS, "trainer.strategy=one", "epochs=1", f"hydra.run.dir={alone / 'run'}"))
    finish(*workers(2, "train", *SETTINGS, "epochs=1", f"hydra.run.dir={together / 'run'}"))
    assert files(together) == files(alone)
    overrides = (together / "run" / ".hydra" / "overrides.yaml").read_text("utf-8")
    assert overrides == "".join(f"- {setting}\n" for setting in [*SETTINGS, "epochs=1"])
    finish(*workers(2, "resume", together / "run", "epochs=2"))
    assert len(rows(together / "run")) == 2
    new = {path.split("epoch")[0] for path in set(files(together)) - set(files(alone))}
    assert new <= {"run/checkpoints/last/", "run/checkpoints/last/best-", "run/predictions/"}
    assert (together / "run" / ".hydra" / "overrides.yaml").read_text("utf-8") == overrides
    assert not left_behind()


@pytest.mark.long
def test_one_with_another_config_is_refused_by_all_and_leaves_nothing(tmp_path, left_behind):
    cluster = cluster_of(2)
    settings = [*SETTINGS, f"hydra.run.dir={tmp_path / 'run'}"]
    processes = [
        segtrain("train", *settings, f"epochs={index + 1}", TF_CONFIG=cluster.tf_config(index)) for index in range(2)
    ]
    for line in finish(*processes, status=1):
        assert line.startswith(f"segtrain: error: worker 1 ({cluster.addresses[1]}) has another config than the chief.")
    assert sorted(os.listdir(tmp_path / "run")) == [".hydra", "config.yaml", "results.json", "segtrain.log"]
    assert "epochs=1" in (tmp_path / "run" / ".hydra" / "overrides.yaml").read_text("utf-8")
    assert os.listdir(tmp_path) == ["run"]
    assert not left_behind()


GOING_ON = ["epochs=3", "model.dropout=0.3", "optimizer=adam", "trainer.deterministic=true"]


@pytest.mark.long
def test_a_run_whose_worker_was_killed_goes_on_as_if_it_had_not_been(tmp_path, left_behind):
    settings = [*SETTINGS, LOCAL, *GOING_ON]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(segtrain("train", *settings, f"hydra.run.dir={whole}"))
    process = segtrain("train", *settings, f"hydra.run.dir={broken}")
    wait_for(process, lambda: list(broken.glob("checkpoints/last/epoch-0001-*.npz")))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (worker,) = [pid for pid in children if b"train" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    os.kill(int(worker), signal.SIGKILL)
    (line,) = finish(process, status=1)
    assert line.startswith("segtrain: error: worker 1")
    assert results(broken)["status"] == "interrupted"
    assert not left_behind()
    finish(segtrain("resume", broken))
    assert_same_states(broken, whole)


@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 2])
def test_one_of_three_is_killed_and_all_go_on(tmp_path, left_behind, victim):
    settings = [*SETTINGS, *GOING_ON, "batch_size=6", "dataset.num_train=12"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(*workers(3, "train", *settings, f"hydra.run.dir={whole}"))
    processes = workers(3, "train", *settings, f"hydra.run.dir={broken}")
    wait_for(processes[0], lambda: list(broken.glob("checkpoints/last/epoch-0001-*.npz")))
    killed = processes.pop(victim)
    killed.kill()
    for line in finish(*processes, status=1):
        assert line.startswith("segtrain: error: worker ")
        assert "does not answer any more. Start all workers again with: segtrain resume" in line
    killed.communicate()
    assert results(broken)["status"] == "interrupted"
    assert len(left_behind()) == (victim != 0)
    finish(*workers(3, "resume", broken))
    assert not left_behind()
    assert_same_states(broken, whole)


@pytest.mark.long
@pytest.mark.parametrize("index", [0, 1])
def test_one_that_goes_while_they_connect_ends_the_other(tmp_path, index):
    """TensorFlow itself would wait for an hour."""
    cluster, folder = cluster_of(2), tmp_path / "run"
    process = segtrain("train", *SETTINGS, f"hydra.run.dir={folder}", TF_CONFIG=cluster.tf_config(index))
    wait_for_others(Cluster(cluster.addresses, 1 - index), 200.0)
    (line,) = finish(process, status=1)
    gone = f"worker {1 - index} ({cluster.addresses[1 - index]})"
    run = folder if index == 0 else "RUN, the folder of the chief"
    assert line == (
        f"segtrain: error: {gone} does not answer any more. Start all workers again with: segtrain resume {run}"
    )
    if index == 0:
        assert results(folder)["status"] == "interrupted"


@pytest.mark.long
def test_a_run_that_was_killed_before_it_saved_anything_begins_anew_and_says_so(tmp_path):
    folder = tmp_path / "run"
    process = segtrain("train", *SETTINGS, LOCAL, "epochs=1", f"hydra.run.dir={folder}")
    wait_for(process, (folder / "segtrain.worker-1.log").is_file)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    assert not list(folder.glob("checkpoints/last/*"))
    process = segtrain("resume", folder)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert output.startswith("the run has saved no state yet: it begins again from the start\n")
    assert results(folder)["status"] == "completed"


@pytest.mark.long
def test_callbacks_of_all_workers_decide_as_those_of_one_process(tmp_path):
    """The rate falls after each epoch without a better score, and the run ends after three."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    settings = [
        *SETTINGS, "epochs=9", "callbacks=[csv,checkpoint,reduce_on_plateau,early_stopping]", "schedule=constant",
        "callbacks.reduce_on_plateau.patience=1", "callbacks.reduce_on_plateau.min_delta=1",
        "callbacks.early_stopping.patience=3", "callbacks.early_stopping.min_delta=1",
    ]  # fmt: skip
    finish(segtrain("train", *settings, "trainer.strategy=one", f"hydra.run.dir={alone}"))
    finish(*workers(2, "train", *settings, f"hydra.run.dir={together}"))
    one, several = np.array(rows(alone)), np.array(rows(together))
    assert 3 <= len(one) < 9
    assert len(set(one[:, -1])) > 1  # learning rates
    np.testing.assert_array_equal(several[:, -1], one[:, -1])


SPOIL = """
import json
import os
import signal

import keras


class Spoil(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        is_chief = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"] == 0
        if is_chief and (self.epoch, batch) == (1, 0):
            os.kill(os.getpid(), signal.SIGUSR1)
        if (self.epoch, batch) == (1, 2) and not getattr(self, "is_done", False):
            self.is_done = True
            logs["loss"] = float("nan")
"""


@pytest.mark.long
def test_a_rollback_takes_all_workers_to_the_state_that_the_chief_alone_was_told_to_save(tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    (tmp_path / "my_callbacks.py").write_text(SPOIL, encoding="utf-8")
    (tmp_path / "conf" / "callbacks").mkdir(parents=True)
    (tmp_path / "conf" / "callbacks" / "spoil.yaml").write_text("spoil: {_target_: my_callbacks.Spoil}", "utf-8")
    settings = [
        *SETTINGS, "dataset.num_train=16", "epochs=2", "schedule=constant", "--config-dir", tmp_path / "conf",
        "callbacks=[spoil,csv,checkpoint,terminate_on_nan]", "callbacks.terminate_on_nan.action=rollback",
        "allow_targets=[my_callbacks.]",
    ]  # fmt: skip
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    finish(*workers(2, "train", *settings, f"hydra.run.dir={together}", PYTHONPATH=path))
    finish(segtrain("train", *settings, "trainer.strategy=one", f"hydra.run.dir={alone}", PYTHONPATH=path))
    for folder in (alone, together):
        (warning,) = [line for line in results(folder)["warnings"] if line.startswith("rollback")]
        assert "in epoch 2, step 3" in warning
        assert "goes on from epoch-0001-step-00001.npz" in warning
    one, several = np.array(rows(alone)), np.array(rows(together))
    assert len(one) == 2
    np.testing.assert_array_equal(several[:, -1], one[:, -1])


@pytest.mark.long
def test_sigterm_has_the_chief_save_and_stop(tmp_path):
    process = segtrain("train", *SETTINGS, LOCAL, "epochs=1000", f"hydra.run.dir={tmp_path / 'run'}")
    wait_for(process, lambda: list(tmp_path.glob("run/checkpoints/last/epoch-0001-*.npz")))
    process.send_signal(signal.SIGTERM)
    (line,) = finish(process, status=128 + signal.SIGTERM)
    assert line.startswith("segtrain: error: interrupted by SIGTERM")
    assert results(tmp_path / "run")["status"] == "interrupted"
