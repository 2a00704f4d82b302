"""Runs a job in a process of its own, whose death costs that job alone, and which leaves no memory behind."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from segtrain.own_process import python_for
from segtrain.reports.terminal import print_line
from segtrain.run_folder import RunFolder
from segtrain.sweeps.one_gpu import one_gpu
from segtrain.task import run_task

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class JobProcessError(RuntimeError):
    """The process of a job has failed; it has said why."""


def run_in_own_process(task: dict[str, Any], config: DictConfig, *, has_own_gpu: bool) -> float | None:
    """Runs a job to its end.

    Args:
        task: what `segtrain.task.run_task` takes beside the config, as JSON has it.
        config: the job's.
        has_own_gpu: show it one GPU alone, which no other job holds.

    Returns:
        The job's score: what a sweep compares.

    Raises:
        JobProcessError: it failed, or was killed; its results.json tells.
    """
    told = {"task": task, "config": OmegaConf.to_container(config), "hydra": _hydra_config()}
    folder = RunFolder(HydraConfig.get().runtime.output_dir)
    with one_gpu() if has_own_gpu else contextlib.nullcontext({}) as environment:
        if has_own_gpu and not environment:
            print_line(
                Console(), f"{folder.path.name} has no GPU to itself: there is none. It trains on what there is."
            )
        command, own = python_for("segtrain.sweeps.job_process")
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            env=own | environment,
            start_new_session=True,  # a terminal's Ctrl-C comes by here, and so once
        )
        with _signals_to(process) as forwarded, contextlib.suppress(BrokenPipeError):  # it may have died already
            # Open until it ends: where this process is killed, that one sees the end of it.
            process.stdin.write(json.dumps(told).encode() + b"\n")
            process.stdin.flush()
            process.wait()
            process.stdin.close()
        status = process.wait()
    if status > 128 and forwarded:  # it was told to stop as we were
        sys.exit(status)
    if status < 0:
        name = signal.Signals(-status).name
        reason = "; the system does that when memory runs out" if -status == signal.SIGKILL else ""
        results = folder.read_results() if folder.results.is_file() else {"status": "failed"}
        folder.write_results(results | {"error": f"its process was ended by {name}{reason}"})
    elif status and not folder.results.is_file():
        told = f"its process ended with status {status} before it wrote anything"
        folder.write_results({"status": "failed", "error": told})
    if status:
        raise JobProcessError(f"job process ended with status {status}")
    return folder.read_results()["val"]["mean_iou"]


@contextlib.contextmanager
def _signals_to(process: subprocess.Popen) -> Iterator[list[int]]:
    """Hands signals on to a process; yields those that came."""
    forwarded: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield forwarded
        return

    def forward(number: int, _: Any) -> None:
        forwarded.append(number)
        process.send_signal(number)

    former = {each: signal.signal(each, forward) for each in FORWARDED}
    try:
        yield forwarded
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _hydra_config() -> dict[str, Any]:
    return OmegaConf.to_container(HydraConfig.instance().cfg.hydra, enum_to_str=True)


def _stop_with(parent: io.RawIOBase) -> None:
    """Has this process stop, saving what it has, when the one at the other end of the pipe is gone."""

    def wait():
        parent.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Runs the job that stdin tells of."""
    # Unbuffered: a thread that waits for a buffer would have Python abort at its end.
    parent = io.FileIO(0, closefd=False)
    told = json.loads(parent.readline())
    _stop_with(parent)
    setup_globals()
    hydra_config = OmegaConf.structured(HydraConf)
    OmegaConf.set_struct(hydra_config, False)  # groups of ours stand in it
    HydraConfig.instance().set_config(OmegaConf.create({"hydra": OmegaConf.merge(hydra_config, told["hydra"])}))
    configure_log(HydraConfig.get().job_logging, HydraConfig.get().verbose)
    run_task(**told["task"], config=OmegaConf.create(told["config"]))
    folder = RunFolder(HydraConfig.get().runtime.output_dir)
    sys.exit(0 if folder.results.is_file() and folder.read_results().get("status") == "completed" else 1)


if __name__ == "__main__":
    main()
