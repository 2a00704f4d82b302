"""Sweeps whose jobs submitit hands over: what Slurm refuses is told in a line, and a lost job costs that job alone."""

import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

# Before submitit is imported, which reads it then: the warning before the time is up, at which a job saves its state.
os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", "USR1")

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
from rich.console import Console
from submitit.core.utils import FailedJobError, UncompletedJobError

from segtrain.reports.terminal import print_line

# Which submitit takes when it begins; the others it takes later.
FIRST = "slurm_max_num_timeout"
FOR_ALL = {field.name for field in fields(BaseQueueConf)}


class _Launcher(BaseSubmititLauncher):
    """The plugin's launcher, whose own `launch` leaves a sweep at the first job that Slurm has ended."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hands all jobs over and waits for each.

        Args:
            job_overrides: of each job.
            initial_job_idx: number of the first.

        Returns:
            Of each job what it has returned; no value of one that was lost, which its folder tells of.
        """
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        try:
            jobs = self._executor().map_array(
                self,
                [list(overrides) for overrides in job_overrides],
                ["hydra.sweep.dir"] * len(numbers),
                numbers,
                [f"job_id_for_{number}" for number in numbers],
                [Singleton.get_state()] * len(numbers),
            )
        except FailedJobError:  # of sbatch, whose own words submitit has printed
            sys.exit(
                "segtrain: error: Slurm takes no such job (see above). Type what its nodes have, which sinfo lists: "
                "hydra.launcher.partition=NAME, and cpus_per_task, mem_gb, timeout_min and gpus_per_node (null without "
                "GPUs) in the same way."
            )
        print_line(Console(), f"{len(jobs)} jobs: {jobs[0].job_id} to {jobs[-1].job_id}; waiting for them")
        try:
            return [self._awaited(job, overrides) for job, overrides in zip(jobs, job_overrides, strict=True)]
        except KeyboardInterrupt:
            for job in jobs:  # which save what they have
                job.cancel(check=False)
            raise

    def _executor(self):
        given = {name: value for name, value in self.params.items() if name != "submitit_folder"}
        named = {name if name in FOR_ALL else f"{self._EXECUTOR}_{name}": value for name, value in given.items()}
        first = {FIRST: named.pop(FIRST)} if FIRST in named else {}
        executor = submitit.AutoExecutor(self.params["submitit_folder"], cluster=self._EXECUTOR, **first)
        executor.update_parameters(**named)
        return executor

    @staticmethod
    def _awaited(job, overrides):
        try:
            return job.result()
        except (UncompletedJobError, FailedJobError):
            print_line(
                Console(),
                f"job {job.job_id} ({' '.join(filter_overrides(overrides))}) was ended ({job.state.lower()}); what it "
                f"has printed: {job.paths.stderr}",
            )
            return JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)


class SlurmLauncher(_Launcher):
    _EXECUTOR = "slurm"


class LocalLauncher(_Launcher):
    _EXECUTOR = "local"
