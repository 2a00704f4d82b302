"""Compares the runs of a sweep: which settings vary, and mean and spread over seeds for each of their combinations."""

import csv
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich.box
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segtrain.reports.page import show_score, write_page
from segtrain.reports.terminal import print_line
from segtrain.run_folder import RunFolder, write_text, written_whole

# Seeds are repetitions, not settings: runs that differ in these alone are one configuration.
SEED_KEYS = ("seed", "dataset.fold")
MEASURES = ("mean_iou", "pixel_accuracy", "mean_class_accuracy", "parameters", "images_per_second")


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its folder's name, what was overridden, and its results (only `status` if it failed)."""

    name: str
    overrides: dict[str, str]
    results: dict[str, Any]

    @property
    def completed(self) -> bool:
        return self.results.get("status") == "completed"

    @property
    def configuration(self) -> tuple[tuple[str, str], ...]:
        return tuple((key, value) for key, value in self.overrides.items() if key not in SEED_KEYS)


def compare_sweep(sweep: Path, console: Console) -> int:
    """Writes comparison.csv, .json and .html into a sweep's folder and prints the table.

    Returns:
        The number of jobs that did not complete.

    Raises:
        ValueError: the folder holds no runs.
    """
    comparison = write_comparison(sweep)
    _print(console, comparison)
    print_line(console, f"comparison {sweep / 'comparison.html'}")
    return sum(job["status"] != "completed" for job in comparison["jobs"])


def write_comparison(sweep: Path) -> dict[str, Any]:
    """Writes comparison.csv, .json and .html into a sweep's folder; see `compare_sweep`."""
    jobs = read_jobs(sweep)
    comparison = summarise(jobs)
    write_text(sweep / "comparison.json", json.dumps(comparison, indent=2, ensure_ascii=False) + "\n")
    _write_csv(sweep / "comparison.csv", comparison)
    classes = dict.fromkeys(name for row in comparison["configurations"] for name in row["per_class_iou"])
    reports = {job.name for job in jobs if RunFolder(sweep / job.name).report.is_file()}
    write_page(
        sweep / "comparison.html",
        "comparison",
        comparison=comparison,
        classes=list(classes),
        reports=reports,
        sweep=str(sweep),
    )
    return comparison


def read_jobs(sweep: Path) -> list[Job]:
    """Returns the jobs in a sweep's folder, in the order of their names.

    Raises:
        ValueError: there is no such folder, or no job in it.
    """
    folders = sorted(path.parents[1] for path in sweep.glob("*/.hydra/overrides.yaml"))
    if not folders:
        reason = "it holds no runs" if sweep.is_dir() else "there is no such folder"
        raise ValueError(f"run={sweep} is no sweep's folder: {reason}. Name outputs/multirun/<date>/<time>.")
    return [_read_job(folder) for folder in folders]


def _read_job(folder: Path) -> Job:
    overrides = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    run = RunFolder(folder)
    results = run.read_results() if run.results.is_file() else {"status": "failed", "error": "left no results.json"}
    return Job(folder.name, dict(override.split("=", 1) for override in overrides if "=" in override), results)


def summarise(jobs: Sequence[Job]) -> dict[str, Any]:
    """Returns the comparison as plain values: what is constant, what varies, each configuration's scores, every job.

    A score of a configuration has `mean`, `std` (sample standard deviation over its seeds, None for one), `count` and
    `values` in the order of the seeds.
    """
    by_configuration: dict[tuple, list[Job]] = {}
    for job in jobs:
        by_configuration.setdefault(job.configuration, []).append(job)
    keys = list(dict.fromkeys(key for job in jobs for key in job.overrides if key not in SEED_KEYS))
    seen = {key: {job.overrides.get(key) for job in jobs} for key in keys}
    varying = [key for key in keys if len(seen[key]) > 1]
    configurations = [_summarise_configuration(members, varying) for members in by_configuration.values()]
    configurations.sort(key=lambda configuration: -(configuration["mean_iou"]["mean"] or 0))
    return {
        "constant": {key: jobs[0].overrides[key] for key in keys if len(seen[key]) == 1},
        "varying": varying,
        "convention": _describe_conventions(jobs),
        "configurations": configurations,
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


def _describe_conventions(jobs: Sequence[Job]) -> str:
    """Returns the convention of all scores; where runs differ in it, that, since their scores do not compare."""
    by_convention: dict[str, list[str]] = {}
    for job in jobs:
        if job.completed:
            # A run older than the setting was scored by what is now its default.
            convention = job.results.get("metric_contract", {}).get("convention", "segtrain")
            by_convention.setdefault(convention, []).append(job.name)
    told = [f"{name} (such as {runs[0]})" for name, runs in by_convention.items()]
    return f"not comparable, scored under {' and '.join(told)}" if len(told) > 1 else "".join(by_convention)


def _summarise_configuration(jobs: list[Job], varying: Sequence[str]) -> dict[str, Any]:
    completed = [job.results for job in jobs if job.completed]
    classes = list(completed[0]["val"]["per_class_iou"]) if completed else []
    flat = [results["val"] | results for results in completed]
    return {
        "settings": {key: jobs[0].overrides.get(key, "(default)") for key in varying},
        "seeds": [results["seed"] for results in completed],
        "jobs": len(jobs),
        "failed": len(jobs) - len(completed),
        **{name: _spread([results[name] for results in flat]) for name in MEASURES},
        "per_class_iou": {
            name: _spread([results["val"]["per_class_iou"][name] for results in completed]) for name in classes
        },
    }


def _spread(values: list[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "std": statistics.stdev(known) if len(known) > 1 else None,
        "count": len(known),
        "values": values,
    }


def _write_csv(path: Path, comparison: dict[str, Any]) -> None:
    header = [*comparison["varying"], "count", "failed"]
    header += [f"{name}_{part}" for name in MEASURES for part in ("mean", "std")]
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for configuration in comparison["configurations"]:
            numbers = [configuration[name][part] for name in MEASURES for part in ("mean", "std")]
            count = configuration["mean_iou"]["count"]
            writer.writerow([*configuration["settings"].values(), count, configuration["failed"], *numbers])


def _print(console: Console, comparison: dict[str, Any]) -> None:
    # Narrow enough for 80 columns: what does not fit would be cut.
    title = "mean ± standard deviation over seeds and folds, validation"
    if comparison["convention"]:
        title += f"; convention: {comparison['convention']}"
    table = Table(title=escape(title), box=rich.box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for name in comparison["varying"] or ["configuration"]:
        table.add_column(escape(name), overflow="fold")
    for name in ("runs", "mean IoU", "accuracy", "parameters", "images/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for configuration in comparison["configurations"]:
        done, failed = configuration["mean_iou"]["count"], configuration["failed"]
        parameters, speed = configuration["parameters"]["mean"], configuration["images_per_second"]["mean"]
        table.add_row(
            *(escape(value) for value in configuration["settings"].values() or ["all"]),
            f"{done} ({failed} failed)" if failed else str(done),
            show_spread(configuration["mean_iou"]),
            show_spread(configuration["pixel_accuracy"]),
            f"{parameters:,.0f}" if parameters else "–",
            f"{speed:.0f}" if speed else "–",
        )
    console.print(table)
    for job in comparison["jobs"]:
        if job["status"] != "completed":
            told = [job["name"], job["status"], job["error"]]
            print_line(console, ": ".join(word for word in told if word))


def show_spread(score: dict[str, Any]) -> str:
    """Returns "mean ± standard deviation" for reading."""
    return show_score(score["mean"]) + (f" ± {score['std']:.3f}" if score["std"] is not None else "")
