"""Several processes train as one does."""

import os
import subprocess
import sys
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
