"""The Optuna study of a search, as the sweep and each of its jobs open it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from segtrain.settings import says_how_jobs_are_run
from segtrain.sweeps.search_space import SWEEPER, SearchSpace

if TYPE_CHECKING:
    import optuna

STUDY = "study.db"
SECONDS_FOR_A_LOCK = 60


class StudyError(ValueError):
    """A study cannot be opened; the message says why and what to type."""


def open_study(sweeper: DictConfig, sweep: Path, *, is_new: bool = False, epochs: int = 1) -> "optuna.Study":
    """Opens the study, or begins it.

    Args:
        sweeper: `hydra.sweeper`.
        sweep: the sweep's folder.
        is_new: there has to be none of its name in a database that is given; one in the sweep's own file, which a
            killed search has left, is gone on with.
        epochs: how long a trial takes that is not pruned.

    Raises:
        StudyError: the database is damaged, cannot be reached, or holds another study of the name.
    """
    import optuna
    import sqlalchemy

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url, arguments = sweeper.storage, {}
    if url is None:
        # Which quotes what a folder's name may hold.
        url = sqlalchemy.URL.create("sqlite", database=str(sweep.absolute() / STUDY)).render_as_string()
        arguments = {"connect_args": {"timeout": SECONDS_FOR_A_LOCK}}
    try:
        return optuna.create_study(
            study_name=sweeper.study_name,
            storage=optuna.storages.RDBStorage(url, engine_kwargs=arguments),
            sampler=optuna.samplers.RandomSampler(),  # for a job, which draws nothing
            pruner=build_pruner(sweeper, epochs),
            direction="maximize",
            load_if_exists=sweeper.storage is None or not is_new,
        )
    except optuna.exceptions.DuplicatedStudyError as error:
        raise StudyError(
            f"hydra.sweeper.study_name={sweeper.study_name}: the database has a study of that name. Type another, or "
            "go on with it: segtrain resume ITS_SWEEP."
        ) from error
    except (optuna.exceptions.OptunaError, sqlalchemy.exc.SQLAlchemyError, RuntimeError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        if sweeper.storage is None:
            told = f"{sweep / STUDY}: the study cannot be opened ({reason}). Runs that are done are not lost: segtrain "
            raise StudyError(f"{told}compare {sweep}.") from error
        raise StudyError(
            f"hydra.sweeper.storage: the study cannot be opened ({reason}). It has to be a database's URL, such as "
            "postgresql://user@host/name; without it there is a file in the sweep's folder."
        ) from error


def require_same_search(study: "optuna.Study", space: SearchSpace, sweep: Path) -> None:
    """Refuses a study that was begun with other settings, whose trials tell nothing of these; keeps those of a new one.

    Raises:
        StudyError: they differ.
    """
    fixed = sorted(each for each in space.fixed if not says_how_jobs_are_run(each))
    if study.user_attrs.get("fixed", fixed) != fixed or any(
        trial.distributions != space.distributions for trial in drawn_trials(study)
    ):
        raise StudyError(
            f"{sweep}: a search with other settings was begun there. Go on with that: segtrain resume {sweep}; or type "
            "another hydra.sweep.dir."
        )
    study.set_user_attr("fixed", fixed)


def build_sampler(sweeper: DictConfig, space: SearchSpace, number: int) -> "optuna.samplers.BaseSampler":
    """Returns what draws one trial. Its seed is of the trial: a search that was killed goes on as it would have.

    None of them is CMA-ES, which pickles its state into the study: opening a stranger's sweep would run his code.

    Args:
        sweeper: `hydra.sweeper`.
        space: what to draw from.
        number: of the trial, from 0.
    """
    from optuna import samplers

    if sweeper.sampler == "grid":
        return samplers.GridSampler(space.grid(), sweeper.seed or 0)  # by which all trials have one order
    seed = None
    if sweeper.seed is not None:
        seed = int(np.random.SeedSequence([sweeper.seed, number]).generate_state(1)[0])
    if sweeper.sampler == "random":
        return samplers.RandomSampler(seed)
    return samplers.TPESampler(seed=seed, n_startup_trials=sweeper.startup_trials)


def build_pruner(sweeper: DictConfig, epochs: int) -> "optuna.pruners.BasePruner":
    """Returns what decides when a trial is hopeless; its steps are epochs, from 1."""
    from optuna import pruners

    if sweeper.pruner == "median":
        return pruners.MedianPruner(sweeper.warm_up_trials, sweeper.warm_up_epochs + 1)
    if sweeper.pruner == "hyperband":
        return pruners.HyperbandPruner(min(sweeper.warm_up_epochs + 1, epochs), epochs)
    return pruners.NopPruner()


def drawn_trials(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    """Returns the trials that have their settings: a search killed while it drew one leaves one without."""
    return [trial for trial in study.get_trials(deepcopy=False) if "overrides" in trial.user_attrs]


def trial_of_this_job(epochs: int) -> "optuna.Trial | None":
    """Returns the trial that Hydra's present job is, for whoever prunes it; None where it is none, or none is pruned.

    A job knows of the search what every job knows, its overrides: so it may run in any process, on any machine.

    Raises:
        StudyError: see `open_study`.
    """
    if not HydraConfig.initialized():
        return None
    hydra: Any = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN or hydra.sweeper._target_ != SWEEPER or hydra.sweeper.pruner == "none":
        return None
    import optuna

    study = open_study(hydra.sweeper, Path(hydra.sweep.dir), epochs=epochs)
    overrides = set(hydra.overrides.task)
    for trial in drawn_trials(study):
        if not trial.state.is_finished() and overrides.issuperset(trial.user_attrs["overrides"]):
            return optuna.Trial(study, trial._trial_id)
    return None
