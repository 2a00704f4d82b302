"""Which jobs a sweep consists of, kept in its folder from the start: a comparison has to know what is missing."""

import json
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from segtrain.run_folder import write_text

PLAN = "sweep.json"


def write_plan(sweep: Path, config: DictConfig) -> None:
    """Writes the jobs of a sweep that is about to begin.

    Args:
        sweep: its folder.
        config: as composed for it, with `hydra`.
    """
    write_text(sweep / PLAN, json.dumps({"jobs": _jobs(config)}, indent=2) + "\n")


def read_plan(sweep: Path) -> list[list[str]] | None:
    """Returns the overrides of each planned job; None where the sweeper makes them up as it goes, or no plan is there.

    Raises:
        ValueError: the plan cannot be read.
    """
    path = sweep / PLAN
    if not path.is_file():
        return None
    try:
        jobs = json.loads(path.read_text(encoding="utf-8"))["jobs"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no plan of a sweep: {error}.") from error
    if jobs is not None and not (isinstance(jobs, list) and all(_is_texts(job) for job in jobs)):
        raise ValueError(f"{path} is no plan of a sweep: jobs has to be a list of lists of overrides.")
    return jobs


def _jobs(config: DictConfig) -> Sequence[Sequence[str]] | None:
    """Returns what Hydra's own sweeper will do with a command line; see its `sweep`."""
    sweeper = config.hydra.sweeper
    if not sweeper._target_.endswith(".BasicSweeper"):
        return None
    of_files = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides([*of_files, *config.hydra.overrides.task])
    (jobs,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return jobs


def _is_texts(value):
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
