"""What a configuration, the runs that differ in their seeds alone, is worth: mean and spread over them."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtrain.comparison.jobs import SEED_KEYS, Job, read_jobs
from segtrain.comparison.pairs import LEVEL, Pair, compare_with_best
from segtrain.comparison.words import describe, describe_level, describe_population, describe_rare_classes

MEASURES = (
    "mean_iou",
    "boundary_f1",
    "pixel_accuracy",
    "mean_class_accuracy",
    "parameters",
    "flops_per_image",
    "peak_memory_bytes",
    "images_per_second",
    "seconds_to_best_epoch",
)
# How a job may have ended that did not complete. A status that is damaged counts as the first.
UNDONE = ("failed", "interrupted", "missing")


# Settings whose values are names of things: `auto` or `strong` says nothing without the setting.
NAMED = ("model", "dataset", "loss", "optimizer", "experiment", "model/encoder")
# Groups that choose settings that stand in the config under their own names.
PRESETS = ("experiment", "size")


@dataclass(frozen=True)
class Configuration:
    """Runs of the same settings.

    Attributes:
        settings: what varies between configurations, as typed.
        jobs: the runs, whether they completed or not.
    """

    settings: dict[str, str]
    jobs: list[Job]

    @property
    def completed(self) -> list[Job]:
        return [job for job in self.jobs if job.completed]

    @property
    def name(self) -> str:
        """What tells it from the others: `segnet_small`, or `epochs=4` where the value does not speak for itself."""
        told = [value if _is_name(key, value) else f"{key}={value}" for key, value in self.settings.items()]
        return " ".join(told) or "all"

    def mean_iou(self) -> float:
        """Returns the mean over the completed runs, 0 where there is none."""
        values = [job.results["val"]["mean_iou"] for job in self.completed]
        return _spread(values)["mean"] or 0.0

    def summary(self) -> dict[str, Any]:
        """Returns its scores and costs as plain values; see `compare_runs`."""
        flat = [_measures_of(job) for job in self.completed]
        classes = dict.fromkeys(name for job in self.completed for name in job.results["val"]["per_class_iou"])
        return {
            "name": self.name,
            "settings": self.settings,
            "seeds": [job.results["seed"] for job in self.completed],
            "jobs": len(self.jobs),
            "pruned": sum(job.pruned for job in self.completed),
            **{status: sum(job.results.get("status") == status for job in self.jobs) for status in UNDONE[1:]},
            "failed": sum(job.results.get("status") not in ("completed", *UNDONE[1:]) for job in self.jobs),
            **{name: _spread([of_job.get(name) for of_job in flat]) for name in MEASURES},
            "per_class_iou": {
                name: _spread([job.results["val"]["per_class_iou"].get(name) for job in self.completed])
                for name in classes
            },
        }


def compare_runs(paths: Sequence[Path]) -> dict[str, Any]:
    """Returns a comparison as plain values, which table, csv, json and page are made of.

    Args:
        paths: folders of sweeps and of runs.

    Returns:
        `constant`, the settings that all share, and `varying`, the names of the others; `convention` of the scores;
        `notes`, sentences on what the numbers are worth; `configurations`, the best first, each with `name`,
        `settings`, `seeds`, `jobs`, `pruned` and each of `UNDONE` (counts) and, for each of `MEASURES` and of
        `per_class_iou`, `mean`, `std` (sample standard deviation over its seeds, None for one), `count` and `values` by
        seed;
        `differences` of the best from each other one, see `Pair.as_dict`, with `words`; `jobs`, each with `name`,
        `overrides`, `status`, `error` and `mean_iou`.

    Raises:
        ValueError: there is no run in one of the folders.
    """
    jobs = read_jobs(paths)
    return summarise(jobs, rank(jobs))


def summarise(jobs: Sequence[Job], configurations: Sequence[Configuration]) -> dict[str, Any]:
    """Returns the comparison of runs that have been read and ranked; see `compare_runs`."""
    constant, varying = _settings_of(jobs)
    pairs = compare_with_best(
        [(each.name, [job for job in each.completed if not job.pruned]) for each in configurations]
    )
    return {
        "constant": constant,
        "varying": varying,
        "convention": _describe_conventions(jobs),
        "notes": [*_describe_sizes(jobs), *_describe_intervals(pairs)],
        "configurations": [each.summary() for each in configurations],
        "differences": [pair.as_dict() | {"words": describe(pair)} for pair in pairs],
        "jobs": [
            {
                "name": job.name,
                "overrides": job.overrides,
                "status": job.results.get("status"),
                "error": job.results.get("error"),
                "mean_iou": job.results["val"]["mean_iou"] if job.completed else None,
            }
            for job in jobs
        ],
    }


def rank(jobs: Sequence[Job]) -> list[Configuration]:
    """Returns the configurations of the jobs, that of the highest mean IoU first."""
    _, varying = _settings_of(jobs)
    by_settings: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        by_settings.setdefault(tuple(job.setting(key) for key in varying), []).append(job)
    configurations = [
        Configuration(dict(zip(varying, values, strict=True)), members) for values, members in by_settings.items()
    ]
    return sorted(configurations, key=Configuration.mean_iou, reverse=True)


def _settings_of(jobs: Sequence[Job]) -> tuple[dict[str, str], list[str]]:
    """Returns the settings that all jobs share, and the names of those that vary."""
    keys = list(dict.fromkeys(key for job in jobs for key in job.overrides if key not in SEED_KEYS))
    constant, varying = {}, []
    for key in keys:
        if len(values := {job.setting(key) for job in jobs}) == 1:
            (constant[key],) = values
        else:
            varying.append(key)
    return constant, [key for key in varying if key not in PRESETS or _tells_apart(key, varying, jobs)]


def _tells_apart(preset: str, varying: Sequence[str], jobs: Sequence[Job]) -> bool:
    """Returns whether runs that are alike in all else that varies have other settings by a preset, or may have."""
    configs: dict[tuple[str, ...], set[str]] = {}
    read = set()
    for job in jobs:
        if (composed := job.composed()) is not None:
            read.add(job.setting(preset))
            alike = tuple(job.setting(key) for key in varying if key != preset)
            configs.setdefault(alike, set()).add(json.dumps(composed, sort_keys=True))
    return any(len(of_alike) > 1 for of_alike in configs.values()) or {job.setting(preset) for job in jobs} != read


def _measures_of(job: Job) -> dict[str, Any]:
    values = job.results["val"] | job.results | {"seconds_to_best_epoch": job.seconds_to_best_epoch()}
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def _spread(values: list[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "std": statistics.stdev(known) if len(known) > 1 else None,
        "count": len(known),
        "values": values,
    }


def _describe_conventions(jobs: Sequence[Job]) -> str:
    """Returns the convention of all scores; where runs differ in it, that, since their scores do not compare."""
    # A run older than the setting was scored by what is now its default.
    told = _told_by(jobs, "convention", "segtrain")
    named = [f"{name} (such as {run})" for name, run in told.items()]
    return f"not comparable, scored under {' and '.join(named)}" if len(told) > 1 else "".join(told)


def _describe_sizes(jobs: Sequence[Job]) -> list[str]:
    told = _told_by(jobs, "evaluated_at", None)
    named = [f"at {size} (such as {run})" for size, run in told.items()]
    return [f"Not comparable, scored {' and '.join(named)}"] if len(named) > 1 else []


def _describe_intervals(pairs: Sequence[Pair]) -> list[str]:
    levels = {difference.level for pair in pairs for difference in pair.measures.values()}
    if not levels:
        return []
    of_level = [describe_level(level) for level in levels if level > LEVEL]
    return [note for note in (describe_population(pairs), *of_level, describe_rare_classes(pairs)) if note]


def _told_by(jobs: Sequence[Job], key: str, otherwise: str | None) -> dict[str, str]:
    """Returns each value of the metric contract, with the first run that has it."""
    told: dict[str, str] = {}
    for job in jobs:
        value = job.results.get("metric_contract", {}).get(key, otherwise)
        if job.completed and value is not None:
            told.setdefault(str(value), job.name)
    return told


def _is_name(key: str, value: str) -> bool:
    return key in NAMED and value[:1].isalpha() and value not in ("none", "null")
