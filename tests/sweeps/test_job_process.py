"""Jobs as processes of their own: what kills one costs that one, and the sweep goes on to the same numbers."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

MODELS = ("segnet_small", "encoder_decoder_small")
TRAINING = [f"model={','.join(MODELS)}", "seed=1", "size=tiny", "epochs=40", "trainer.deterministic=true"]
TIMINGS = ("images_per_second", "data_wait", "seconds")


def begin(home: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "segtrain", *arguments]
    return subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def job_folder(sweep: Path, model: str) -> Path | None:
    return next((path.parents[1] for path in sweep.glob(f"*model-{model}*/.hydra/config.yaml")), None)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMINGS} for row in csv.DictReader(file)]


def wait_for_epochs(sweep: Path, model: str, count: int) -> Path:
    while True:
        folder = job_folder(sweep, model)
        with contextlib.suppress(AttributeError, TypeError, FileNotFoundError):
            if len(rows(folder)) >= count:
                return folder
        time.sleep(0.2)


def process_of(sweep: psutil.Process, folder: Path) -> psutil.Process:
    """The process that holds a job's log, which is not the sweep's own nor a launcher's."""
    for process in sweep.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            is_job = "segtrain.sweeps.job_process" in process.cmdline()
            if is_job and any(Path(file.path).parent == folder for file in process.open_files()):
                return process
    raise AssertionError(f"no process trains in {folder}")


def statuses(sweep: Path) -> dict[str, tuple[str, str | None]]:
    jobs = json.loads((sweep / "comparison.json").read_text())["jobs"]
    return {job["name"]: (job["status"], job["error"]) for job in jobs}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("undisturbed")
    sweep = begin(home, "-m", *TRAINING, "hydra.sweep.dir=out")
    output, _ = sweep.communicate()
    assert sweep.returncode == 0, output
    return home / "out"


@pytest.mark.long
@pytest.mark.parametrize(
    ("launcher", "number"), [("joblib", signal.SIGKILL), ("joblib", signal.SIGTERM), ("submitit_local", signal.SIGKILL)]
)
def test_a_job_that_is_killed_costs_itself_alone_and_is_gone_on_with(undisturbed, tmp_path, launcher, number):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    sweep, out = begin(tmp_path, "-m", *TRAINING, f"hydra/launcher={launcher}", "hydra.sweep.dir=out"), tmp_path / "out"
    killed = wait_for_epochs(out, MODELS[0], 3)
    process_of(psutil.Process(sweep.pid), killed).send_signal(number)
    output, _ = sweep.communicate()
    assert sweep.returncode == 1, output
    other = job_folder(out, MODELS[1])
    status, error = statuses(out)[killed.name]
    assert status == "interrupted"
    assert number == signal.SIGTERM or "SIGKILL" in error
    assert statuses(out)[other.name] == ("completed", None)

    again = begin(tmp_path, "resume", "out")
    output, _ = again.communicate()
    assert again.returncode == 0, output
    for model in MODELS:
        assert rows(job_folder(out, model)) == rows(job_folder(undisturbed, model))
        assert len(rows(job_folder(out, model))) == 40


@pytest.mark.long
def test_a_sweep_that_is_killed_is_gone_on_with(undisturbed, tmp_path):
    sweep, out = begin(tmp_path, "-m", *TRAINING, "hydra.sweep.dir=out"), tmp_path / "out"
    wait_for_epochs(out, MODELS[1], 3)
    sweep.kill()
    sweep.communicate()
    again = begin(tmp_path, "resume", "out")
    output, _ = again.communicate()
    assert again.returncode == 0, output
    assert sorted(status for status, _ in statuses(out).values()) == ["completed"] * 2
    for model in MODELS:
        assert rows(job_folder(out, model)) == rows(job_folder(undisturbed, model))


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_stop_with_the_sweep_and_save(tmp_path, number):
    arguments = [*TRAINING[1:], f"model={MODELS[0]}", "epochs=10000", "sweep.own_process=true"]
    sweep, out = begin(tmp_path, "-m", *arguments, "hydra.sweep.dir=out"), tmp_path / "out"
    folder = wait_for_epochs(out, MODELS[0], 2)
    job = process_of(psutil.Process(sweep.pid), folder)
    os.kill(sweep.pid, number)
    sweep.communicate()
    psutil.wait_procs([job], timeout=30)
    assert not job.is_running()
    assert sweep.returncode == (143 if number == signal.SIGTERM else -number)
    assert json.loads((folder / "results.json").read_text())["status"] == "interrupted"
    assert any((folder / "checkpoints" / "last").iterdir())


@pytest.mark.long
def test_twenty_jobs_in_one_process_leave_no_memory_behind(tmp_path):
    arguments = ["-m", f"model={','.join(MODELS)}", "seed=range(1,11)", "size=tiny", "epochs=1", "callbacks=none"]
    sweep = begin(tmp_path, *arguments, "hydra.sweep.dir=out")
    memory, done = psutil.Process(sweep.pid), {}
    while sweep.poll() is None:
        finished = sum(
            json.loads(path.read_text())["status"] == "completed" for path in tmp_path.glob("out/*/results.json")
        )
        with contextlib.suppress(psutil.Error):
            done[finished] = memory.memory_info().rss
        time.sleep(0.1)
    assert sweep.returncode == 0
    assert len(list(tmp_path.glob("out/*/results.json"))) == 20
    assert max(done[count] for count in (18, 19)) <= 1.3 * done[2]


def test_a_job_in_a_process_of_its_own_tells_why_it_failed_and_sees_its_gpu(tmp_path, monkeypatch):
    """The short form of the above: a job that fails before anything heavy loads."""
    (tmp_path / "random.py").write_text("raise ValueError('a file of this folder was imported')\n")
    (tmp_path / "photos").mkdir()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    arguments = ["-m", "seed=1,2", "dataset=folder", "dataset.root=photos", "sweep.one_gpu_each=true"]
    sweep = subprocess.run(
        [Path(sys.executable).with_name("segtrain"), *arguments, "hydra.sweep.dir=out"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert sweep.returncode == 1
    assert (tmp_path / "segtrain-gpus" / "7.lock").exists()
    told = statuses(tmp_path / "out")
    assert [status for status, _ in told.values()] == ["failed"] * 2
    assert all("photos" in error and "imported" not in error for _, error in told.values())


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("exit 3", "its process ended with status 3 before it wrote anything"),
        ("kill -9 $$", "its process was ended by SIGKILL; the system does that when memory runs out"),
    ],
)
def test_a_process_that_dies_before_it_writes_anything_is_told(segtrain, tmp_path, monkeypatch, end, told):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{end}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert segtrain("-m", "seed=1,2", "sweep.own_process=true", "hydra.sweep.dir=out").status == 1
    assert set(statuses(tmp_path / "out").values()) == {("failed", told)}
