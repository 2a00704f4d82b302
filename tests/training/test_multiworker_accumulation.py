"""Batches that add up to a step do so over several processes, too."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segtrain.training.cluster import local_cluster

SCRIPT = Path(__file__).with_name("train_in_process.py")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Returns a function that trains 30 steps, in one process or in two together; what came of it, for each process."""
    folder = tmp_path_factory.mktemp("numbers")

    def train(num_workers, *, batch_size, accumulate, is_normalised):
        cluster = local_cluster(num_workers) if num_workers > 1 else None
        strategy, processes = "multiworker" if cluster else "one", []
        for index in range(num_workers):
            of_worker = {"TF_CONFIG": cluster.tf_config(index)} if cluster else {}
            path = folder / f"{num_workers}-{batch_size}-{accumulate}-{is_normalised}-{index}.npz"
            command = [sys.executable, SCRIPT, strategy, path, batch_size, accumulate, int(is_normalised)]
            process = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, **of_worker}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
            )  # fmt: skip
            processes.append((process, path))
        for process, _ in processes:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
        return [np.load(path) for _, path in processes]

    return train


def require_same(expected, workers):
    assert len(expected["losses"]) == 30
    for received in workers:
        np.testing.assert_allclose(received["losses"], expected["losses"], rtol=1e-5)
        np.testing.assert_allclose(received["metrics"], expected["metrics"], rtol=1e-5)
        distance = np.linalg.norm(received["weights"] - expected["weights"])
        assert distance < 1e-5 * np.linalg.norm(expected["weights"])
    for name in ("losses", "metrics", "weights"):
        np.testing.assert_array_equal(workers[0][name], workers[1][name])


def test_two_workers_train_as_one_device_with_the_large_batch(train):
    """Without BatchNorm, which sees each batch by itself."""
    (large,) = train(1, batch_size=8, accumulate=1, is_normalised=False)
    require_same(large, train(2, batch_size=2, accumulate=4, is_normalised=False))


def test_batch_norm_sees_each_batch_of_all_workers(train):
    """Its running averages, which move once a batch, are among the weights."""
    (alone,) = train(1, batch_size=4, accumulate=2, is_normalised=True)
    require_same(alone, train(2, batch_size=4, accumulate=2, is_normalised=True))
