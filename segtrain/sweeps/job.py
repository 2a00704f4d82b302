"""How a sweep runs one of its jobs."""

import contextlib
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from segtrain.reports.terminal import print_line
from segtrain.settings import ResumeSettings, TrainSettings
from segtrain.sweeps.fail_fast import stopped_after
from segtrain.sweeps.job_memory import memory_returned
from segtrain.sweeps.job_process import JobProcessError, run_in_own_process
from segtrain.sweeps.workers import end_with_sweep
from segtrain.task import run_task
from segtrain.verbs.invocation import Invocation


def run_job(task: dict[str, Any], config: DictConfig, sweep_process: int) -> float | None:
    """Runs a job here or in a process of its own; does nothing in a sweep that stopped at a failure.

    Args:
        task: what `segtrain.task.run_task` takes beside the config.
        config: the job's.
        sweep_process: number of the process that began the sweep, which on another machine is another's.

    Returns:
        The job's score; None where it failed, which the comparison tells.
    """
    hydra_config = HydraConfig.get()
    if (failed := stopped_after(Path(hydra_config.sweep.dir))) is not None:
        job = Path(hydra_config.runtime.output_dir).name
        print_line(Console(), f"{job} is left out: {failed} has not completed, and sweep.fail_fast=true")
        return None
    own_process = config.sweep.own_process
    if own_process == "auto":
        # One process after the other would load TensorFlow for every job, and spare nothing.
        own_process = hydra_config.runtime.choices["hydra/launcher"] != "basic" or config.sweep.one_gpu_each
    if hydra_config.launcher._target_.endswith(".JoblibLauncher"):  # others' jobs need no process that began them
        end_with_sweep(sweep_process, has_own_process=bool(own_process))
    if not own_process:
        with memory_returned():
            return run_task(**task, config=config)
    try:
        return run_in_own_process(task, config, has_own_gpu=config.sweep.one_gpu_each)
    except JobProcessError:
        return None


def go_on_with_job(settings: TrainSettings, invocation: Invocation) -> float | None:
    """Trains a job of a sweep that was begun before: from where it is, and not again if it is complete."""
    from segtrain.verbs.resume import resume
    from segtrain.verbs.train import train

    folder = invocation.folder
    if not folder.config.is_file():  # it has not come as far as to say what it is
        folder.results.unlink(missing_ok=True)
        return train(settings, invocation)
    results = folder.read_results()
    if results.get("status") != "completed":
        try:
            return resume(ResumeSettings(str(folder.path), [], settings.allow_targets), invocation)
        except Exception as error:
            with contextlib.suppress(OSError, ValueError), folder.held():  # unless another process trains there
                folder.write_results(folder.read_results() | {"error": f"{type(error).__name__}: {error}"})
            raise
    print_line(Console(), f"{folder.path.name} is complete")
    return results["val"]["mean_iou"]
