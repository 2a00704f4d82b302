"""A Hydra sweeper that searches with Optuna.

The published plugin, hydra-optuna-sweeper, holds Optuna at version 2 and its SQLite studies SQLAlchemy at version 1;
it knows neither pruning nor how to go on with a search. Its grammar is kept.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from segtrain.reports.terminal import print_line
from segtrain.run_folder import RunFolder, write_text
from segtrain.sweeps.fail_fast import stopped_after
from segtrain.sweeps.search_report import announce_trial, describe_search, describe_trial, write_search
from segtrain.sweeps.search_space import SearchSpace, read_search_space, varied_overrides
from segtrain.sweeps.study import StudyError, build_sampler, drawn_trials, open_study, require_same_search

if TYPE_CHECKING:
    import optuna


class OptunaSweeper(Sweeper):
    """Runs trials as jobs through the launcher, in batches, until the study has `n_trials`.

    Args:
        n_trials: trials of the study, those of before a resumption too.
        n_jobs: trials of a batch.
        sampler: what draws trials.
        seed: of the sampler.
        startup_trials: trials that tpe draws at random.
        pruner: what ends trials early.
        warm_up_epochs: epochs that a trial has in any case.
        warm_up_trials: trials that complete before the median pruner ends any.
        storage: URL of a database; None is a file in the sweep's folder.
        study_name: name of the study in it.
        params: overrides to search, which those on the command line go before.
    """

    def __init__(
        self,
        *,
        n_trials: Annotated[int, Ge(1)] = 20,
        n_jobs: Annotated[int, Ge(1)] = 1,
        sampler: Literal["tpe", "random", "grid"] = "tpe",
        seed: Annotated[int, Ge(0)] | None = 1,
        startup_trials: Annotated[int, Ge(1)] = 10,
        pruner: Literal["median", "hyperband", "none"] = "median",
        warm_up_epochs: Annotated[int, Ge(0)] = 5,
        warm_up_trials: Annotated[int, Ge(1)] = 5,
        storage: str | None = None,
        study_name: str = "segtrain",
        params: dict[str, Any] | None = None,
    ):
        self._n_trials = n_trials
        self._n_jobs = n_jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Searches, or goes on with a search of the same folder, and tells what was found."""
        from optuna.exceptions import StorageInternalError

        sweep, sweeper = Path(self.config.hydra.sweep.dir), self.config.hydra.sweeper
        try:
            space = read_search_space(sweeper, arguments, self.hydra_context.config_loader)
            self._search(self._open(space, sweep), space, sweep)
        except (StudyError, StorageInternalError) as error:  # from Hydra they would come as tracebacks
            sys.exit(f"segtrain: error: {str(error).splitlines()[0]}")

    def _open(self, space: SearchSpace, sweep: Path) -> "optuna.Study":
        """Opens the study; how to go on with it stands in the folder before it does."""
        how_begun = sweep / "multirun.yaml"
        if is_new := not how_begun.is_file():
            write_text(how_begun, OmegaConf.to_yaml(self.config))
        try:
            study = open_study(self.config.hydra.sweeper, sweep, is_new=is_new, epochs=self.config.epochs)
            require_same_search(study, space, sweep)
        except StudyError:
            if is_new:  # or going on would open what this search has not begun
                how_begun.unlink()
            raise
        write_text(how_begun, OmegaConf.to_yaml(self.config))  # with what has changed, such as n_trials
        return study

    def _search(self, study: "optuna.Study", space: SearchSpace, sweep: Path) -> None:
        console, n_trials = Console(), self._num_trials(space)
        write_search(sweep, study, n_trials)  # a comparison has to know how many are missing
        for trials in self._batches(study, space, n_trials):
            for trial in trials:
                print_line(console, announce_trial(study, trial, n_trials))
            jobs = [[*space.fixed, *varied_overrides(trial.params)] for trial in trials]
            for trial, job in zip(trials, self.launcher.launch(jobs, initial_job_idx=trials[0].number), strict=True):
                _tell(study, trial, RunFolder(job.hydra_cfg.hydra.runtime.output_dir))
                print_line(console, describe_trial(study.trials[trial.number]))
            write_search(sweep, study, n_trials)
            if stopped_after(sweep) is not None:
                break
        print_line(console, describe_search(write_search(sweep, study, n_trials)))

    def _num_trials(self, space: SearchSpace) -> int:
        """Returns how many trials there are to be; a grid has no more than its combinations."""
        if self.config.hydra.sweeper.sampler != "grid":
            return self._n_trials
        return min(self._n_trials, math.prod(map(len, space.grid().values())))

    def _batches(self, study: "optuna.Study", space: SearchSpace, n_trials: int) -> Iterator[list["optuna.Trial"]]:
        """Yields trials to run together: first those that a killed search has begun, then new ones.

        One with the settings of another would do the same again: it is not run, and ends as that one has.
        """
        import optuna

        begun = [optuna.Trial(study, each._trial_id) for each in drawn_trials(study) if not each.state.is_finished()]
        while begun or len(drawn_trials(study)) < n_trials:
            batch, repeated = [], []
            while len(batch) < self._n_jobs and (begun or len(drawn_trials(study)) < n_trials):
                trial = begun.pop(0) if begun else self._draw(study, space)
                first = _first_alike(study, trial)
                if first.number == trial.number:
                    batch.append(trial)
                elif first.state.is_finished():
                    _end_as(study, trial, first)
                else:
                    repeated.append(trial)
            if batch:
                yield batch
            for trial in repeated:
                if (first := _first_alike(study, trial)).state.is_finished():
                    _end_as(study, trial, first)

    def _draw(self, study: "optuna.Study", space: SearchSpace) -> "optuna.Trial":
        number = len(study.get_trials(deepcopy=False))
        # For the draw alone: told of a grid's last trial, its sampler would end the study's own loop, which is not run.
        of_jobs, study.sampler = study.sampler, build_sampler(self.config.hydra.sweeper, space, number)
        trial = study.ask(space.distributions)
        study.sampler = of_jobs
        trial.set_user_attr("overrides", varied_overrides(trial.params))  # and so it is drawn; see drawn_trials
        return trial


def _tell(study: "optuna.Study", trial: "optuna.Trial", folder: RunFolder) -> None:
    """Tells the study how a trial's job has ended. One that was interrupted, or left out, has not."""
    from optuna.trial import TrialState

    trial.set_user_attr("job", folder.path.name)
    results = folder.read_results() if folder.results.is_file() else {"status": "interrupted"}
    if results["status"] == "interrupted":
        return
    score = results["val"]["mean_iou"] if results["status"] == "completed" else None
    if score is None:
        trial.set_user_attr("error", results.get("error", "val_mean_iou is not a number"))
        study.tell(trial, state=TrialState.FAIL)
    elif "pruned_after" in study.trials[trial.number].user_attrs:  # the job has said so, in a process of its own
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, score)


def _first_alike(study: "optuna.Study", trial: "optuna.Trial") -> "optuna.trial.FrozenTrial":
    """Returns the first trial of the same settings, which may be this one."""
    return next(each for each in drawn_trials(study) if each.user_attrs["overrides"] == trial.user_attrs["overrides"])


def _end_as(study: "optuna.Study", trial: "optuna.Trial", first: "optuna.trial.FrozenTrial") -> None:
    from optuna.trial import TrialState

    for name, value in {**first.user_attrs, "same_as": first.number}.items():
        trial.set_user_attr(name, value)
    if first.state == TrialState.PRUNED:
        trial.report(first.value, first.last_step)
    study.tell(trial, first.value if first.state == TrialState.COMPLETE else None, first.state)
