"""Several processes train as one does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from segtrain.training.cluster import local_cluster

SCRIPT = Path(__file__).with_name("train_in_process.py")


def start(strategy, path, **environment):
    return subprocess.Popen(
        [sys.executable, SCRIPT, strategy, path],
        env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def finish(*processes):
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    cluster = local_cluster(2)
    workers = [
        start("multiworker", folder / f"worker_{index}.npz", TF_CONFIG=cluster.tf_config(index)) for index in range(2)
    ]
    finish(*workers)
    for strategy in ("one", "mirrored"):
        finish(start(strategy, folder / f"{strategy}.npz"))
    return {path.stem: np.load(path) for path in folder.glob("*.npz")}


@pytest.mark.long
@pytest.mark.parametrize("which", ["mirrored", "worker_0", "worker_1"])
def test_the_numbers_are_those_of_one_device(numbers, which):
    expected, received = numbers["one"], numbers[which]
    assert len(expected["losses"]) == 30
    np.testing.assert_allclose(received["losses"], expected["losses"], rtol=1e-5)
    np.testing.assert_allclose(received["metrics"], expected["metrics"], rtol=1e-5)
    np.testing.assert_array_equal(received["confusion"], expected["confusion"])
    assert expected["confusion"].sum() > 8 * 32 * 32 * 0.9


@pytest.mark.long
def test_all_workers_log_the_same_bits(numbers):
    for name in ("losses", "metrics", "confusion"):
        np.testing.assert_array_equal(numbers["worker_0"][name], numbers["worker_1"][name])


SETTINGS = [
    "dataset=shapes", "dataset.num_train=8", "dataset.num_val=3", "batch_size=4", "image_size=[32,32]",
    "model.width=4", "augmentation=none", "trainer.strategy=multiworker", "trainer.workers=2",
]  # fmt: skip


def segtrain(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "segtrain", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))


def test_a_run_makes_its_workers_and_writes_one_folder(tmp_path):
    folder = tmp_path / "run"
    process = segtrain("train", *SETTINGS, "epochs=1", "callbacks=csv", f"hydra.run.dir={folder}")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert results(folder)["status"] == "completed"
    assert len((folder / "metrics.csv").read_text("utf-8").splitlines()) == 2  # a head, and the chief's epoch
    assert output.count("val mIoU") == 1  # the chief alone prints
    assert (folder / "segtrain.worker-1.log").is_file()


@pytest.mark.long
def test_a_run_whose_worker_was_killed_goes_on_as_if_it_had_not_been(tmp_path):
    settings = [*SETTINGS, "epochs=3", "model.dropout=0.3", "optimizer=adam", "trainer.deterministic=true"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(segtrain("train", *settings, f"hydra.run.dir={whole}"))
    process = segtrain("train", *settings, f"hydra.run.dir={broken}")
    deadline = time.monotonic() + 200
    while not list(broken.glob("checkpoints/last/epoch-0001-*.npz")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (worker,) = [pid for pid in children if b"train" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    os.kill(int(worker), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith("segtrain: error: worker 1")
    assert results(broken)["status"] == "interrupted"
    finish(segtrain("resume", broken))
    one, other = (np.load(max(each.glob("checkpoints/last/*.npz"))) for each in (whole, broken))
    assert one.files == other.files
    for name in set(one.files) - {"facts"}:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.long
def test_sigterm_has_the_chief_save_and_stop(tmp_path):
    process = segtrain("train", *SETTINGS, "epochs=1000", f"hydra.run.dir={tmp_path / 'run'}")
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("run/checkpoints/last/epoch-0001-*.npz")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert errors.splitlines()[-1].startswith("segtrain: error: interrupted by SIGTERM")
    assert results(tmp_path / "run")["status"] == "interrupted"
