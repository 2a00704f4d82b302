"""A run for people: the table on the terminal and report.html."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segtrain.reports.curves import draw_curves
from segtrain.reports.page import as_html, picture_source, show_score, write_page
from segtrain.run_folder import RunFolder


def print_scores(console: Console, scores: dict[str, Any], title: str) -> None:
    """Prints the IoU of each class and the means of a split.

    Args:
        console: where to.
        scores: one split of results.json.
        title: above the table.
    """
    table = Table(title=escape(title), min_width=len(title) + 2)
    table.add_column("class")
    table.add_column("IoU", justify="right")
    for name, iou in scores["per_class_iou"].items():
        table.add_row(escape(name), show_score(iou))
    table.add_section()
    for label, key in (("mean IoU", "mean_iou"), ("pixel accuracy", "pixel_accuracy")):
        table.add_row(label, show_score(scores[key]))
    console.print(table)


def write_report(folder: RunFolder, results: dict[str, Any], epochs: Sequence[dict[str, float]]) -> None:
    """Writes report.html: scores, curves, prediction pictures from last to first, config and environment.

    Args:
        folder: the run's folder, with results.json and the pictures in it.
        results: what results.json holds.
        epochs: logs of each epoch.
    """
    pictures = sorted((_epoch_of(path), path) for path in folder.predictions.glob("epoch_*.png"))
    write_page(
        folder.report,
        "run_report",
        results=results,
        curves=as_html(draw_curves(epochs)),
        pictures=[(_caption(epoch), picture_source(path)) for epoch, path in reversed(pictures)],
        config=folder.config.read_text(encoding="utf-8"),
    )


def _epoch_of(path: Path) -> int:
    return int(path.stem.removeprefix("epoch_"))


def _caption(epoch: int) -> str:
    return "before training" if epoch == 0 else f"after epoch {epoch}"
