"""Sweeps that submitit hands over, where Slurm refuses or ends a job: stand-ins for it, and itself where it is."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

pytest.importorskip("submitit")
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/\w+' is validated against")
launchers = pytest.importorskip("segtrain.sweeps.submitit_launchers")

HAS_SLURM = bool(shutil.which("sinfo")) and not subprocess.run(["sinfo"], capture_output=True).returncode
TINY = ["model=segnet_small", "size=tiny", "epochs=2", "seed=1,2"]
ON_CPUS = ["gpus_per_node=null", "cpus_per_task=1", "mem_gb=3"]


class Job:
    """A job of submitit that ends as it is told to."""

    def __init__(self, job_id, end):
        self.job_id, self.state, self._end, self.is_cancelled = job_id, "TIMEOUT", end, False
        self.paths = SimpleNamespace(stderr=f"/sweep/{job_id}.err")

    def result(self):
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end

    def cancel(self, check=True):
        self.is_cancelled = True


def launch(ends, tmp_path, monkeypatch):
    """Launches a job for each end. Returns the jobs, and what makes the launcher wait for them."""
    jobs = [Job(f"7_{number}", end) for number, end in enumerate(ends)]
    launcher = launchers.SlurmLauncher(submitit_folder=str(tmp_path))
    launcher.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}})
    monkeypatch.setattr(launcher, "_executor", lambda: SimpleNamespace(map_array=lambda *arguments: jobs))
    return jobs, lambda: launcher.launch([[f"seed={number}"] for number in range(len(ends))], 0)


@pytest.mark.parametrize("lost", [launchers.UncompletedJobError("no output"), launchers.FailedJobError("exit")])
def test_a_job_that_was_ended_costs_itself_alone(tmp_path, monkeypatch, capsys, lost):
    done = JobReturn(status=JobStatus.COMPLETED)
    done.return_value = 0.5
    jobs, wait = launch([lost, done], tmp_path, monkeypatch)
    returned = wait()
    assert [each.return_value for each in returned] == [None, 0.5]
    told = " ".join(capsys.readouterr().out.split())
    assert "job 7_0 (seed=0) was ended (timeout); what it has printed: /sweep/7_0.err" in told
    assert "7_1 (" not in told
    assert not any(job.is_cancelled for job in jobs)


def test_ctrl_c_cancels_the_jobs(tmp_path, monkeypatch):
    jobs, wait = launch([KeyboardInterrupt(), KeyboardInterrupt()], tmp_path, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        wait()
    assert all(job.is_cancelled for job in jobs)


def test_what_slurm_refuses_is_told_in_a_line(segtrain, jobs, tmp_path, monkeypatch):
    for name, script in {"srun": "exit 0", "sbatch": "echo sbatch: error: no such partition >&2; exit 1"}.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    ended = segtrain("-m", "seed=1,2", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=nowhere")
    slurm, ours = (f"{ended.errors}{ended.status if isinstance(ended.status, str) else ''}").strip().splitlines()
    assert slurm == "sbatch: error: no such partition"
    assert ours.startswith("segtrain: error: Slurm takes no such job (see above).")
    assert "hydra.launcher.partition=NAME" in ours
    assert jobs.done == []


def test_slurm_warns_by_the_signal_that_saves():
    # In a process of its own: submitit looks for the variable once.
    code = (
        "import segtrain.sweeps.submitit_launchers; from submitit.slurm.slurm import _make_sbatch_string as script;"
        "print(script('true', 'folder', signal_delay_s=60))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "SUBMITIT_PREEMPT_SIGNAL"}
    script = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "#SBATCH --signal=USR1@60" in script.stdout.splitlines()


@pytest.mark.parametrize("settings", [["nodes=2"], ["tasks_per_node=2"]])
def test_tasks_that_would_train_one_run_each_are_refused(segtrain, jobs, tmp_path, settings):
    settings = [f"hydra.launcher.{setting}" for setting in settings]
    ended = segtrain("-m", "seed=1,2", "hydra/launcher=submitit_local", *settings)
    assert (ended.status, jobs.done, list(tmp_path.iterdir())) == (2, [], [])
    assert "each of the 2 tasks of a job would train the same run" in ended.errors
    assert ended.errors.count("\n") == 1


@pytest.mark.long
@pytest.mark.skipif(not HAS_SLURM, reason="needs a Slurm that answers")
def test_slurm_runs_a_sweep_of_which_one_job_is_killed(tmp_path):
    settings = [f"hydra.launcher.{setting}" for setting in ON_CPUS]
    command = [sys.executable, "-m", "segtrain", "-m", "hydra/launcher=submitit_slurm", *settings, *TINY]
    sweep = subprocess.Popen([*command, "hydra.sweep.dir=out"], cwd=tmp_path)
    killed = None
    while killed is None:
        time.sleep(0.5)
        assert sweep.poll() is None
        killed = next((each for each in psutil.process_iter() if _is_second_job(each, tmp_path)), None)
    os.kill(killed.pid, signal.SIGKILL)
    assert sweep.wait() == 1
    jobs = json.loads((tmp_path / "out" / "comparison.json").read_text())["jobs"]
    assert sorted(job["status"] == "completed" for job in jobs) == [False, True]
    assert subprocess.run([sys.executable, "-m", "segtrain", "resume", "out"], cwd=tmp_path).returncode == 0


def _is_second_job(process, home):
    try:
        is_job = "submitit.core._submit" in process.cmdline() and "python" in process.name()
        return is_job and str(home) in process.cmdline()[-1] and process.environ().get("SLURM_ARRAY_TASK_ID") == "1"
    except psutil.Error:
        return False
