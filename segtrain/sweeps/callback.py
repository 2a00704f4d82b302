"""Hydra's callback around a sweep and each of its jobs: the plan before, the comparison after."""

import contextlib
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from segtrain.command.composition import typed_allowance
from segtrain.reports.comparison import compare_folders, write_comparison
from segtrain.reports.terminal import print_line
from segtrain.run_folder import RunFolder
from segtrain.sweeps.fail_fast import let_sweep_go_on, stop_sweep, stopped_after
from segtrain.sweeps.going_on import resume_command
from segtrain.sweeps.plan import write_plan


class CompareJobs(Callback):
    """Keeps a sweep's plan, rewrites its comparison after every job, and ends it with status 1 where a job failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)  # for what is said of the sweep where its jobs are in other processes
        sweep = Path(config.hydra.sweep.dir)
        write_plan(sweep, config)
        let_sweep_go_on(sweep)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        job, sweep = RunFolder(config.hydra.runtime.output_dir), Path(config.hydra.sweep.dir)
        is_completed = job.results.is_file() and job.read_results().get("status") == "completed"
        if config.sweep.fail_fast and not is_completed and stopped_after(sweep) is None:
            stop_sweep(sweep, job.path.name)
        # What keeps it from being written will be said at the end; the jobs that are left need not wait for that.
        with contextlib.suppress(ValueError, OSError), FileLock(sweep / ".comparison.lock"):
            write_comparison([sweep], sweep)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        sweep = Path(config.hydra.sweep.dir)
        try:
            allow_targets = typed_allowance(config.hydra.overrides.task)
            not_completed = compare_folders([sweep], sweep, Console(), allow_targets)
        except (ValueError, OSError) as error:  # Hydra would turn it into a warning, and the status into 0
            sys.exit(f"segtrain: error: {error}")
        if not_completed:
            print_line(Console(), f"Go on with: {resume_command(sweep)}")
            sys.exit(1)
