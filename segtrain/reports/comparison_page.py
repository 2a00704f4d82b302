"""comparison.html: is A better than B, and what does it cost?"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from segtrain.comparison.configurations import Configuration
from segtrain.comparison.jobs import Job
from segtrain.comparison.learning_curves import learning_curve
from segtrain.reports.comparison_charts import (
    CLASSES_SHOWN,
    Mark,
    draw_class_differences,
    draw_cost,
    draw_learning_curves,
    marks,
)
from segtrain.reports.page import as_html, write_page
from segtrain.reports.side_by_side import SideBySide

CURVES = {"val_mean_iou": "validation mean IoU", "val_loss": "validation loss"}
# What a configuration costs: a measure, what it is divided by for reading, and how it is named.
COSTS = (
    ("parameters", 1e6, "parameters, millions"),
    ("flops_per_image", 1e9, "GFLOP for an image"),
    ("images_per_second", 1, "images a second in training"),
)
# Of that many, sentences and charts stand on the page at once.
MOST_ANSWERS = 6
MOST_CLASS_CHARTS = 5


def write_comparison_page(
    path: Path,
    comparison: dict[str, Any],
    configurations: Sequence[Configuration],
    title: str,
    side_by_side: SideBySide | None = None,
) -> None:
    """Writes the page.

    Args:
        path: the file; links to reports and logs are counted from its folder.
        comparison: see `segtrain.comparison.configurations.compare_runs`.
        configurations: that it is of, in its order.
        title: what is compared.
        side_by_side: the pictures; without them the page says when they come.
    """
    looks = marks([each.name for each in configurations])
    jobs = [job for each in configurations for job in each.jobs]
    write_page(
        path,
        "comparison",
        comparison=comparison,
        classes=list(dict.fromkeys(name for row in comparison["configurations"] for name in row["per_class_iou"])),
        title=title,
        marks=looks,
        most_answers=MOST_ANSWERS,
        curves=_curves(configurations, looks),
        losses_differ=_losses_differ(comparison),
        costs=_costs(comparison, looks),
        class_differences=_class_differences(comparison, looks),
        most_classes=CLASSES_SHOWN,
        links={job.name: link for job in jobs if (link := _link(job, path.parent))},
        side_by_side=side_by_side,
    )


def _curves(configurations: Sequence[Configuration], looks: Sequence[Mark]) -> list[Any]:
    charts = []
    for column, title in CURVES.items():
        curves = [learning_curve(each.completed, column) for each in configurations]
        if known := [(mark, curve) for mark, curve in zip(looks, curves, strict=True) if curve]:
            charts.append(as_html(draw_learning_curves(known, title, is_share=column != "val_loss")))
    return charts


def _losses_differ(comparison: dict[str, Any]) -> bool:
    return any(key.partition(".")[0] == "loss" for key in comparison["varying"])


def _costs(comparison: dict[str, Any], looks: Sequence[Mark]) -> list[Any]:
    charts = []
    for measure, unit, name in COSTS:
        points = []
        for mark, row in zip(looks, comparison["configurations"], strict=True):
            pairs = zip(row[measure]["values"], row["mean_iou"]["values"], strict=True)
            known = [(cost / unit, score) for cost, score in pairs if cost is not None and score is not None]
            if known:
                points.append((mark, *zip(*known, strict=True)))
        # What costs all the same is no choice.
        if len({cost for _, costs, _ in points for cost in costs}) > 1:
            charts.append(as_html(draw_cost(points, name)))
    return charts


def _class_differences(comparison: dict[str, Any], looks: Sequence[Mark]) -> list[dict[str, Any]]:
    by_name = {mark.name: mark for mark in looks}
    with_measures = [each for each in comparison["differences"] if each.get("measures")][:MOST_CLASS_CHARTS]
    of_pairs = [(each, _known_classes(each["measures"])) for each in with_measures]
    limit = _axis_limit([one for _, classes in of_pairs for one in classes])
    return [
        {
            "first": by_name[each["first"]],
            "second": by_name[each["second"]],
            "chart": as_html(draw_class_differences(by_name[each["first"]], by_name[each["second"]], classes, limit)),
            "num_classes": sum(name.startswith("iou_") for name in each["measures"]),
            "has_intervals": any(one["low"] is not None for one in classes),
        }
        for each, classes in of_pairs
        if classes
    ]


def _known_classes(measures: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the classes' differences, the best's largest lead first; of many classes the largest either way."""
    classes = [
        {"name": name.removeprefix("iou_"), **difference}
        for name, difference in measures.items()
        if name.startswith("iou_") and difference["value"] is not None
    ]
    largest = sorted(classes, key=lambda one: -abs(one["value"]))[:CLASSES_SHOWN]
    return sorted(largest, key=lambda one: -one["value"])


def _axis_limit(classes: Sequence[dict[str, Any]]) -> float:
    """Returns up to how many points the charts show: all of the intervals, unless the values were too small to see."""
    values = [abs(one["value"]) for one in classes]
    ends = [abs(end) for one in classes for end in (one["low"], one["high"]) if end is not None]
    return 105 * min(max([*values, *ends], default=0), 4 * max(values, default=0), 1) or 1


def _link(job: Job, folder: Path) -> str | None:
    """Returns where a run's report is, or the log of one that has none."""
    there = next((path for path in (job.folder.report, job.folder.log) if path.is_file()), None)
    return there and quote(os.path.relpath(there.resolve(), folder.resolve()))
