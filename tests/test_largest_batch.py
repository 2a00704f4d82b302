"""The search for the largest batch, with memory that ends where the test says, pretended and real."""

import dataclasses
import io
import json
import resource
import subprocess
import sys
from types import SimpleNamespace

import hydra
import pytest
import yaml
from omegaconf import OmegaConf
from rich.console import Console

from segtrain import largest_batch
from segtrain.command.composition import config_folder
from segtrain.largest_batch import count_replicas, find_batch_size, largest_that_fits, with_largest_batch
from segtrain.run_folder import RunFolder
from segtrain.settings import TrainSettings, read_settings


@pytest.mark.parametrize("multiple", [1, 2, 3])
@pytest.mark.parametrize("start", [6, 24])
def test_the_largest_is_found_wherever_memory_ends(multiple, start):
    """And in fewer trials than a search one after another would take."""
    for most in (5, 24, 100, 700):
        for memory in (0, 1, 2, 5, 6, 7, 23, 24, 25, 31, 64, 99, 100, 650, 10_000):
            tried = []

            def fits(size, memory=memory, tried=tried):
                tried.append(size)
                return size <= memory

            found = largest_that_fits(fits, start=start, multiple=multiple, most=most)
            expected = min(memory, most) // multiple * multiple
            assert expected - max(0, expected // 16) <= found <= expected
            assert found == expected or expected > 16
            assert all(size % multiple == 0 and 0 < size <= most for size in tried)
            assert len(set(tried)) == len(tried) <= 16
            assert found == 0 or found in tried


SETTINGS = dict.fromkeys(TrainSettings.__dataclass_fields__) | {
    "trainer": {"accumulate": 2},
    "optimizer": {"learning_rate": 0.2},
    "batch_size": 8,
}


@pytest.fixture
def find(monkeypatch):
    """Returns a function that searches where as many images fit, and returns what is found and told."""

    def find(memory, num_train=200, num_replicas=2, bytes_in_memory=(0, 0)):
        limits, screen = set(), io.StringIO()

        def run_trial(settings, limit):
            limits.add(limit)
            return settings.batch_size <= memory

        class Training:
            def __len__(self):
                return num_train

        class Validation:
            pass

        Training.bytes_in_memory, Validation.bytes_in_memory = bytes_in_memory
        monkeypatch.setattr(largest_batch, "run_trial", run_trial)
        monkeypatch.setattr(largest_batch, "count_replicas", lambda settings: num_replicas)
        monkeypatch.setattr(largest_batch, "free_memory", lambda: 10_000)
        found = find_batch_size(TrainSettings(**SETTINGS), Training(), Validation(), Console(file=screen, width=300))
        (limit,) = limits
        return SimpleNamespace(size=found, told=screen.getvalue().splitlines(), limit=limit)

    return find


def test_what_is_found_stands_in_the_runs_config(tmp_path, monkeypatch):
    monkeypatch.setattr("segtrain.largest_batch.find_batch_size", lambda *_: 24)
    settings = TrainSettings(**SETTINGS | {"trainer": {"find_batch_size": True}})
    config = OmegaConf.create({"batch_size": 8, "trainer": {"find_batch_size": True}})
    found = with_largest_batch(settings, config, (None, None), RunFolder(tmp_path))
    assert found == dataclasses.replace(settings, batch_size=24)
    kept = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert kept == {"batch_size": 24, "trainer": {"find_batch_size": False}}
    alone = TrainSettings(**SETTINGS | {"trainer": {}})
    assert with_largest_batch(alone, config, (None, None), RunFolder(tmp_path)) is alone


def test_tells_what_was_tried_and_that_the_rate_is_left_alone(find):
    found = find(memory=21)
    assert found.size == 20
    assert found.told == [
        *("batch_size=8 fits", "batch_size=16 fits", "batch_size=32 does not fit", "batch_size=24 does not fit"),
        *("batch_size=20 fits", "batch_size=22 does not fit"),
        "trains with batch_size=20: 22 does not fit. optimizer.learning_rate=0.2 is left as it is",
    ]


def test_no_batch_is_larger_than_the_training_split_has_for_a_step(find):
    found = find(memory=1000, num_train=75)
    assert found.size == 36  # two of them are a step
    assert "the training split has no more for a step" in found.told[-1]


def test_what_is_tried_can_be_divided_among_the_devices_from_the_first_on(find):
    """Also where memory does not last for the first."""
    told = find(memory=7, num_replicas=3).told
    assert told[:-1] == ["batch_size=6 fits", "batch_size=12 does not fit", "batch_size=9 does not fit"]
    assert find(memory=3, num_replicas=3).told[0] == "batch_size=6 does not fit"
    assert find(memory=3, num_replicas=3).size == 3


@pytest.fixture
def compose_settings():
    def compose_settings(of_trainer):
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = hydra.compose("config", [f"trainer.{name}={value}" for name, value in of_trainer.items()])
        return read_settings(config, TrainSettings)

    return compose_settings


def test_devices_are_counted_by_a_process_that_only_looks(compose_settings):
    assert count_replicas(compose_settings({"strategy": "mirrored", "logical_cpus": 3})) == 3


def test_devices_that_cannot_be_had_are_told_in_a_line(compose_settings):
    with pytest.raises(ValueError, match=r"counting devices: .*needs at least 2 devices\."):
        count_replicas(compose_settings({"strategy": "mirrored"}))


def test_decoded_images_keep_their_room(find):
    assert find(memory=21).limit == 9000
    assert find(memory=21, bytes_in_memory=(2000, 500)).limit == 6500
    with pytest.raises(ValueError, match="Type dataset.cache=disk, or none"):
        find(memory=21, bytes_in_memory=(8500, 500))


def test_says_that_nothing_fits(find):
    with pytest.raises(ValueError, match=r"not even batch_size=2 fits .* Use a smaller image_size or model"):
        find(memory=1)


LIMITED = """
import numpy, sys
from segtrain.batch_trial import limit_memory
limit_memory(600 * 2**20)
numpy.ones(int(sys.argv[1]) * 2**17).sum()
"""


@pytest.mark.parametrize(("mebibytes", "fits"), [(100, True), (800, False)])
def test_memory_of_a_trial_ends_at_the_limit(mebibytes, fits):
    command = [sys.executable, "-c", LIMITED, str(mebibytes)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (finished.returncode == 0) is fits
    assert ("MemoryError" in finished.stderr) is not fits


@pytest.mark.long
def test_a_run_trains_with_the_largest_batch_that_a_real_limit_leaves(tmp_path):
    """Of a process's memory; each trial and the run itself are held to it."""

    def segtrain(*overrides):
        limit = 2_500 * 2**20
        return subprocess.run(
            [sys.executable, "-m", "segtrain", "model=unet", "model.width=32", "dataset.num_train=200", "epochs=1"]
            + ["dataset.num_val=8", "image_size=[128,128]", f"hydra.run.dir={tmp_path / 'run'}", *overrides],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
            capture_output=True,
            text=True,
            timeout=600,
        )

    finished = segtrain("batch_size=32", "trainer.find_batch_size=true", "optimizer.reference_batch_size=32")
    assert finished.returncode == 0, finished.stderr[-1500:]
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text("utf-8"))
    assert config["trainer"]["find_batch_size"] is False
    found = config["batch_size"]
    assert f"batch_size={found} fits" in finished.stdout
    assert f"trains with batch_size={found}: " in finished.stdout
    assert "does not fit" in finished.stdout
    assert f"1 epoch of {200 // found} step" in finished.stdout
    assert f"is that of 32 images a step, and a step has {found} " in finished.stdout
    results = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    assert results["learning_rate"] == pytest.approx(0.003 * found / 32)
