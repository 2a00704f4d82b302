"""The runs that are compared, as their folders tell of them."""

import csv
import functools
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from segtrain.checks.nested import leaves
from segtrain.command.output_folder import job_folder_name
from segtrain.run_folder import RunFolder
from segtrain.settings import SCHEMAS, says_how_jobs_are_run
from segtrain.sweeps.fail_fast import stopped_after
from segtrain.sweeps.plan import read_plan
from segtrain.training.convention import MetricConvention

# Seeds are repetitions, not settings: runs that differ in these alone are one configuration.
SEED_KEYS = ("seed", "dataset.fold")
DEFAULT = "(default)"
_MISSING = {"status": "missing", "error": "has not run"}
# A run says so itself as soon as its settings are read.
_AT_ITS_START = {
    "status": "interrupted",
    "error": "has written nothing: its process died at the start, or is there still",
}


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        folder: its folder.
        name: its name.
        overrides: what was overridden.
        results: what it left; `status` and `error` alone if it failed.
        like: for one that has not begun, a folder of the same sweep, which tells what nobody typed.
    """

    folder: RunFolder
    name: str
    overrides: dict[str, str]
    results: dict[str, Any]
    like: RunFolder | None = None

    @property
    def completed(self) -> bool:
        return self.results.get("status") == "completed"

    @property
    def pruned(self) -> bool:
        """Whether a search ended it early: it is no rival of those that had all their epochs."""
        return any(str(warning).startswith("pruned after epoch") for warning in self.results.get("warnings") or ())

    def setting(self, key: str) -> str:
        """Returns what a setting was, typed or not, as far as the folder tells."""
        return self.overrides[key] if key in self.overrides else self._composed.get(key, DEFAULT)

    @functools.cached_property
    def _composed(self) -> dict[str, str]:
        """What Hydra has chosen for each group, and each value of the config by its dotted key."""
        folder = (self.like or self.folder).path / ".hydra"
        choices, config = _read_yaml(folder / "hydra.yaml"), self._config
        for name in ("hydra", "runtime", "choices"):
            inner = choices.get(name)
            choices = inner if isinstance(inner, dict) else {}
        return _flattened(config) | {key: _as_typed(value) for key, value in choices.items()}

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        return _read_yaml((self.like or self.folder).path / ".hydra" / "config.yaml")

    def composed(self) -> dict[str, str] | None:
        """Returns each setting of the config by its dotted key, but for seeds; None where the folder does not tell."""
        if self.like or not self._config:
            return None
        settings = {key: _as_typed(value) for key, value in leaves(self._config)}
        return {
            key: value for key, value in settings.items() if key not in SEED_KEYS and not says_how_jobs_are_run(key)
        }

    def by_epoch(self, column: str) -> dict[int, float]:
        """Returns a column of metrics.csv by epoch; nothing where the file does not tell."""
        try:
            with self.folder.metrics.open(newline="", encoding="utf-8") as file:
                return {int(row["epoch"]): float(row[column]) for row in csv.DictReader(file)}
        except (OSError, ValueError, KeyError, TypeError, csv.Error):
            return {}

    def seconds_to_best_epoch(self) -> float | None:
        """Returns what the epochs up to the best took; None where metrics.csv does not tell."""
        seconds, best = self.by_epoch("seconds"), self.results.get("best_epoch")
        if not isinstance(best, int) or best not in seconds:
            return None
        return sum(seconds[epoch] for epoch in seconds if epoch <= best)


def read_jobs(paths: Sequence[Path]) -> list[Job]:
    """Returns the runs in the folders, in the order of the folders and of the names in them.

    After those of a sweep come the jobs that it has not begun, with the status `missing`.

    Args:
        paths: folders of sweeps, whose jobs are taken, and of runs.

    Raises:
        ValueError: there is no run in one of them.
    """
    folders = list(dict.fromkeys(folder for path in paths for folder in folders_of_runs(path)))
    above = os.path.commonpath([folder.resolve().parent for folder in folders])
    jobs = [_read_job(folder, os.path.relpath(folder.resolve(), above)) for folder in folders]
    return [*jobs, *(missing for path in paths for missing in _missing_jobs(path, jobs, above))]


def folders_of_runs(path: Path) -> list[Path]:
    """Returns the folders of the runs in a sweep's, or a run's own.

    Raises:
        ValueError: there is no run in it.
    """
    if (path / ".hydra" / "overrides.yaml").is_file():
        if verb := _other_verb(path):
            raise ValueError(f"run={path} is no run: segtrain {verb} has left it. Leave it out.")
        return [path]
    folders = sorted(path.parents[1] for path in path.glob("*/.hydra/overrides.yaml"))
    folders = [folder for folder in folders if not _other_verb(folder)]
    if not folders:
        reason = "it holds no runs" if path.is_dir() else "there is no such folder"
        raise ValueError(
            f"run={path} is no sweep's folder and no run's: {reason}. Name outputs/multirun/<date>/<time>."
        )
    return folders


def _other_verb(folder: Path) -> str | None:
    """Returns the verb that has left a folder, where that is not a run's: of evaluate, predict, compare and so on."""
    run = RunFolder(folder)
    if run.results.is_file() and "status" in _read_results(run):
        return None
    name = _read_yaml(folder / ".hydra" / "hydra.yaml").get("hydra", {}).get("job", {}).get("config_name")
    return name if name in SCHEMAS else None


def _read_job(folder: Path, name: str) -> Job:
    path = folder / ".hydra" / "overrides.yaml"
    try:
        overrides = [str(override) for override in yaml.safe_load(path.read_text(encoding="utf-8")) or []]
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())}). Take the run out.") from error
    return Job(RunFolder(folder), name, _typed(overrides), _read_results(RunFolder(folder)))


def _missing_jobs(sweep: Path, begun: Sequence[Job], above: str) -> list[Job]:
    begun = [job for job in begun if job.folder.path.parent == sweep]
    known, like = [job.overrides for job in begun], begun[0].folder if begun else None
    missing = [job for job in read_plan(sweep) or () if _typed(job) not in known]
    # Unless hydra.sweep.subdir names them otherwise.
    settings = [sorted(override for override in job if not says_how_jobs_are_run(override)) for job in missing]
    folders = [sweep / job_folder_name(",".join(each)) for each in settings]
    return [
        Job(RunFolder(folder), os.path.relpath(folder.resolve(), above), _typed(job), _MISSING, like)
        for folder, job in zip(folders, missing, strict=True)
    ]


def _typed(overrides: Sequence[str]) -> dict[str, str]:
    """Returns overrides by key, but for those that say how a sweep runs its jobs."""
    settings = (override.split("=", 1) for override in overrides if "=" in override)
    return {key: _alike(value) for key, value in settings if not says_how_jobs_are_run(key)}


def _alike(value: str) -> str:
    """Returns a value as all ways to type it have it: a sweep turns `false` into `False`, and `1e-3` into `0.001`."""
    if value.lower() in ("true", "false", "null"):
        return value.lower()
    is_real = re.fullmatch(r"[+-]?\d+(\.\d*(e[+-]?\d+)?|e[+-]?\d+)", value, re.IGNORECASE)
    return json.dumps(float(value)) if is_real else value


def _read_results(run: RunFolder) -> dict[str, Any]:
    """Returns what a run has left; one whose results are damaged costs the others nothing."""
    if not run.results.is_file():
        return _why_nothing_is_there(run.path)
    try:
        results = run.read_results()
    except ValueError as error:
        return {"status": "failed", "error": str(error)}
    is_whole = isinstance(results, dict) and (results.get("status") != "completed" or _has_scores(results))
    return results if is_whole else {"status": "failed", "error": f"{run.results} is not what a run leaves"}


def _why_nothing_is_there(job: Path) -> dict[str, Any]:
    try:
        failed = stopped_after(job.parent)
    except (OSError, ValueError):
        failed = None
    if failed is None or failed == job.name:
        return _AT_ITS_START
    return _MISSING | {"error": f"was left out: {failed} has not completed, and sweep.fail_fast=true"}


def _has_scores(results: dict[str, Any]) -> bool:
    scores = results.get("val")
    if not isinstance(results.get("seed"), int) or not isinstance(scores, dict):
        return False
    parts = [scores.get("per_class_iou"), results.get("metric_contract", {}), results.get("data", {})]
    if not all(isinstance(part, dict) for part in parts):
        return False
    if "mean_iou" not in scores or parts[1].get("convention", "segtrain") not in get_args(MetricConvention):
        return False
    numbers = [scores.get(name) for name in ("mean_iou", "pixel_accuracy", "boundary_f1")]
    return all(number is None or _is_number(number) for number in (*numbers, *parts[0].values()))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}  # of settings that nobody typed
    return content if isinstance(content, dict) else {}


def _flattened(config: dict[str, Any], above: str = "") -> dict[str, str]:
    values = {}
    for key, value in config.items():
        if isinstance(value, dict):
            values |= _flattened(value, f"{above}{key}.")
        values[f"{above}{key}"] = _as_typed(value)
    return values


def _as_typed(value: Any) -> str:
    """Returns a value as one types it: `null`, `true`, `[64,64]`."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
