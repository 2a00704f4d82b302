"""A comparison for people: the table on the terminal, comparison.csv, .json and .html."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich.box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from segtrain.comparison.configurations import MEASURES, UNDONE, Configuration, rank, summarise
from segtrain.comparison.jobs import read_jobs
from segtrain.reports.page import show_score
from segtrain.reports.terminal import print_line
from segtrain.run_folder import write_text, written_whole
from segtrain.sweeps.search_report import read_search

# Of the differences between many configurations that many are printed; comparison.json has all.
MOST_PRINTED = 10
PRINTED = ("runs", "mean IoU", "boundary F1", "parameters", "images/s")
PAGE = "comparison.html"


def compare_folders(paths: Sequence[Path], folder: Path, console: Console, allow_targets: Sequence[str] = ()) -> int:
    """Writes comparison.csv, .json and .html and prints the table; then draws what the runs predict into the page.

    Args:
        paths: folders of sweeps and of runs.
        folder: where to.
        console: where the table is printed.
        allow_targets: see `segtrain.settings.read_settings`.

    Returns:
        The number of jobs that did not complete.

    Raises:
        ValueError: there is no run in one of the folders.
    """
    comparison, configurations = _write(paths, folder)
    _print(console, comparison)

    # With all that it takes, from Matplotlib to TensorFlow: the table is not kept waiting.
    from segtrain.reports.comparison_page import write_comparison_page
    from segtrain.reports.side_by_side import draw_side_by_side

    pictures = draw_side_by_side(configurations, console, allow_targets)
    write_comparison_page(folder / PAGE, comparison, configurations, _title(paths), pictures)
    print_line(console, f"comparison {folder / PAGE}")
    missing = comparison["search"]["missing"] if comparison["search"] else 0
    return missing + sum(job["status"] != "completed" for job in comparison["jobs"])


def write_comparison(paths: Sequence[Path], folder: Path) -> None:
    """Writes comparison.csv, .json and .html, without pictures of predictions and so without TensorFlow."""
    from segtrain.reports.comparison_page import write_comparison_page

    comparison, configurations = _write(paths, folder)
    write_comparison_page(folder / PAGE, comparison, configurations, _title(paths))


def _write(paths: Sequence[Path], folder: Path) -> tuple[dict[str, Any], list[Configuration]]:
    jobs = read_jobs(paths)
    configurations = rank(jobs)
    comparison = summarise(jobs, configurations)
    comparison["search"] = read_search(paths[0]) if len(paths) == 1 else None
    if (search := comparison["search"]) and search["missing"]:
        comparison["notes"].append(f"search: {search['missing']} of {search['n_trials']} trials have not begun")
    write_text(folder / "comparison.json", json.dumps(comparison, indent=2, ensure_ascii=False) + "\n")
    _write_csv(folder / "comparison.csv", comparison)
    return comparison, configurations


def _title(paths: Sequence[Path]) -> str:
    return " · ".join(map(str, paths))


def _write_csv(path: Path, comparison: dict[str, Any]) -> None:
    classes = list(dict.fromkeys(name for row in comparison["configurations"] for name in row["per_class_iou"]))
    measures = [*MEASURES, *(f"iou_{name}" for name in classes)]
    header = [*comparison["varying"], "count", *UNDONE]
    header += [f"{name}_{part}" for name in measures for part in ("mean", "std")]
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for configuration in comparison["configurations"]:
            ious = configuration["per_class_iou"]
            spreads = [*(configuration[name] for name in MEASURES), *(ious.get(name, {}) for name in classes)]
            numbers = [spread.get(part) for spread in spreads for part in ("mean", "std")]
            count = configuration["mean_iou"]["count"]
            undone = [configuration[name] for name in UNDONE]
            writer.writerow([*configuration["settings"].values(), count, *undone, *numbers])


def _print(console: Console, comparison: dict[str, Any]) -> None:
    title = "mean ± standard deviation over seeds and folds, validation"
    if comparison["convention"]:
        title += f"; convention: {comparison['convention']}"
    table = Table(title=escape(title), box=rich.box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for name in comparison["varying"] or ["configuration"]:
        table.add_column(escape(name), overflow="fold")
    for name in PRINTED:
        table.add_column(name, justify="right", no_wrap=True)
    for configuration in comparison["configurations"]:
        settings = configuration["settings"].values() or ["all"]
        table.add_row(*map(escape, settings), *_cells(configuration))
    room = console.options.update_width(10_000)  # a measure ends at the width that it is told
    if Measurement.get(console, room, table).maximum <= console.width or len(comparison["varying"]) < 2:
        console.print(table)
    else:  # settings folded into a letter or two a line could not be read
        console.print(escape(title), style="italic", highlight=False)
        for configuration in comparison["configurations"]:
            settings = ", ".join(f"{name}={value}" for name, value in configuration["settings"].items())
            cells = dict(zip(PRINTED, _cells(configuration), strict=True))
            console.print(escape(settings), style="bold", highlight=False)
            console.print("  " + ", ".join(f"{name} {cell}" for name, cell in cells.items()), highlight=False)
    differences = comparison["differences"]
    for difference in differences[:MOST_PRINTED]:
        print_line(console, difference["words"])
    if len(differences) > MOST_PRINTED:
        print_line(console, f"{len(differences) - MOST_PRINTED} more differences are in comparison.json")
    for note in comparison["notes"]:
        print_line(console, note)
    for job in comparison["jobs"]:
        if job["status"] != "completed":
            told = [job["name"], job["status"], job["error"]]
            print_line(console, ": ".join(str(word) for word in told if word))


def _cells(configuration: dict[str, Any]) -> list[str]:
    """Returns what is `PRINTED` of a configuration."""
    done = configuration["mean_iou"]["count"]
    undone = [f"{configuration[name]} {name}" for name in ("pruned", *UNDONE) if configuration[name]]
    parameters, speed = configuration["parameters"]["mean"], configuration["images_per_second"]["mean"]
    return [
        f"{done} ({', '.join(undone)})" if undone else str(done),
        show_spread(configuration["mean_iou"]),
        show_spread(configuration["boundary_f1"]),
        f"{parameters:,.0f}" if parameters else "–",
        f"{speed:.0f}" if speed else "–",
    ]


def show_spread(score: dict[str, Any]) -> str:
    """Returns "mean ± standard deviation" for reading."""
    return show_score(score["mean"]) + (f" ± {score['std']:.3f}" if score["std"] is not None else "")
