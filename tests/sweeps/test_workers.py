"""Processes as a launcher begins them: a sweep's own, a worker of it, and the worker's job."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

# A worker tells its number, and works longer than any test; as in `run_in_own_process`, the job's input is its.
WORKER = """
import os, subprocess, sys, time
from segtrain.sweeps.workers import end_with_sweep
end_with_sweep({sweep}, has_own_process={own})
job = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(os.getpid(), job.pid, flush=True)
time.sleep(120)
"""
SWEEP = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]]).wait()
"""


@pytest.mark.parametrize("own", [True, False])
def test_a_worker_and_its_job_end_with_the_sweep(own):
    worker = WORKER.format(sweep="os.getppid()", own=own)
    with subprocess.Popen([sys.executable, "-c", SWEEP, worker], stdout=subprocess.PIPE) as sweep:
        processes = [psutil.Process(int(number)) for number in sweep.stdout.readline().split()]
        assert all(process.is_running() for process in processes)
        sweep.kill()
        _, alive = psutil.wait_procs(processes, timeout=30)
        assert alive == []


def test_another_process_that_ends_ends_no_worker():
    """One that another machine's process has begun, or the sweep's own, has no sweep to look for here."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER.format(sweep="os.getpid()", own=True)], stdout=subprocess.PIPE
    ) as worker:
        worker.stdout.readline()
        time.sleep(1)  # two looks
        assert worker.poll() is None
        worker.kill()


def test_ctrl_c_waits_for_jobs_that_save(tmp_path):
    """The worker hands it on to a job that takes a while; the sweep would end at once."""
    job = (
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n    time.sleep(1)\n    pathlib.Path('saved').touch()\n    sys.exit()\n"
        "signal.signal(signal.SIGINT, save)\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(120)\n"
    )
    worker = (
        "import signal, subprocess, sys\n"
        f"job = subprocess.Popen([sys.executable, '-c', {job!r}], start_new_session=True)\n"
        "signal.signal(signal.SIGINT, lambda number, frame: job.send_signal(number))\n"
        "job.wait()\n"
    )
    sweep = (
        "import pathlib, subprocess, sys, time\n"
        "from segtrain.sweeps.workers import waiting_for_jobs_that_save\n"
        "try:\n"
        "    with waiting_for_jobs_that_save():\n"
        f"        subprocess.Popen([sys.executable, '-c', {worker!r}])\n"
        "        time.sleep(120)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(0 if pathlib.Path('saved').exists() else 3)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", sweep], cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_a_sweep_that_is_interrupted_says_how_it_goes_on(segtrain, jobs, monkeypatch):
    """As a launcher's that waits for workers; and whoever calls the command keeps the signals' handlers."""
    handlers = []

    def be_interrupted(*_):
        handlers.append(signal.getsignal(signal.SIGINT))
        raise KeyboardInterrupt

    monkeypatch.setattr("segtrain.sweeps.job.run_job", be_interrupted)
    ended = segtrain("-m", "seed=1,2", "hydra.sweep.dir=my out")
    assert ended.status == 130
    assert ended.errors == "segtrain: error: interrupted. Go on with: segtrain resume 'my out'\n"
    assert Path("my out/multirun.yaml").is_file()
    assert handlers == [signal.getsignal(signal.SIGINT)]


def test_a_sweep_that_lacks_jobs_ends_with_how_it_goes_on(segtrain, jobs):
    jobs.failing = {2}
    assert segtrain("-m", "seed=1,2", "hydra.sweep.dir=out").output.endswith("\nGo on with: segtrain resume out\n")
    jobs.failing.clear()
    assert "Go on with" not in segtrain("resume", "out").output
