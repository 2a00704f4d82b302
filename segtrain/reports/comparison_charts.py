"""Charts of a comparison as SVG: learning curves, cost against quality, differences class by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from segtrain.comparison.learning_curves import Band
from segtrain.reports.svg import INK, as_svg, drawn_in

LETTERS = "ABCDEF"
# Told apart by the colour-blind, on white and on black: Paul Tol's "vibrant", https://personal.sron.nl/~pault/
COLOURS = ("#0077bb", "#ee7733", "#009988", "#ee3377", "#33bbee", "#cc3311")
SIZE = (4.6, 3.1)
CLASSES_SHOWN = 24
# Where a letter stands beside its mark, in points: marks may lie on one another.
_BESIDE = ((9, 0), (-9, 0), (0, 10), (0, -10), (8, 9), (-8, -9))


@dataclass(frozen=True)
class Mark:
    """How a configuration is drawn: the best have a letter and a colour of their own, the others share grey."""

    name: str
    letter: str
    colour: str


def marks(names: Sequence[str]) -> list[Mark]:
    """Returns the marks of configurations, the best first."""
    own = list(zip(LETTERS, COLOURS, strict=True))[: len(names)]
    return [Mark(name, *look) for name, look in zip(names, [*own, *[("", INK)] * (len(names) - len(own))], strict=True)]


def draw_learning_curves(bands: Sequence[tuple[Mark, Band]], title: str, *, is_share: bool = False) -> str:
    """Draws the mean over runs, and what lies between their lowest and highest, over the epochs.

    Args:
        bands: of each configuration, the best first.
        title: above the chart.
        is_share: whether the values are in 0..1; others may come to need a logarithmic axis.
    """
    with drawn_in(INK):
        figure, axes = _chart(title, xlabel="epoch")
        for mark, band in reversed(bands):
            width = 1.8 if mark.letter else 0.7
            dot = "." if len(band.epochs) == 1 else None
            axes.plot(band.epochs, band.mean, color=mark.colour, linewidth=width, marker=dot, gid=f"mean-{mark.letter}")
            if mark.letter and len(band.of_runs) > 1:
                low, high = band.of_runs.min(axis=0), band.of_runs.max(axis=0)
                axes.fill_between(band.epochs, low, high, color=mark.colour, alpha=0.18, linewidth=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if not is_share:
            _spread_out(axes.yaxis, [value for _, band in bands for value in band.of_runs.ravel()])
        _letter_ends(axes, [(mark, band.epochs[-1], band.mean[-1]) for mark, band in bands if mark.letter])
        return as_svg(figure)


def draw_cost(points: Sequence[tuple[Mark, Sequence[float], Sequence[float]]], cost: str) -> str:
    """Draws mean IoU against a cost: a dot a run, and a larger mark with its letter for the mean.

    Args:
        points: costs and mean IoUs of each configuration's runs, the best configuration first.
        cost: name of the axis.
    """
    with drawn_in(INK):
        figure, axes = _chart("", xlabel=cost, ylabel="mean IoU")
        for mark, costs, scores in reversed(points):
            axes.scatter(costs, scores, s=22, color=mark.colour, alpha=0.6, linewidths=0)
            centre = np.mean(costs), np.mean(scores)
            axes.plot(*centre, "o", color=mark.colour, markersize=9 if mark.letter else 5, gid=f"mean-{mark.letter}")
            if mark.letter:
                _write_letter(axes, mark, centre, _BESIDE[LETTERS.index(mark.letter)])
        axes.margins(0.12)
        axes.locator_params(axis="x", nbins=5)
        _spread_out(axes.xaxis, [cost for _, costs, _ in points for cost in costs])
        return as_svg(figure)


def draw_class_differences(best: Mark, other: Mark, differences: Sequence[dict[str, Any]], limit: float) -> str:
    """Draws for each class how far the best is ahead, in IoU points, with its interval.

    Args:
        best: the one that is ahead where a difference is above 0.
        other: the other.
        differences: `name`, and `value`, `low` and `high` in 0..1 (the latter None where there is no interval), in
            the order from top to bottom.
        limit: where the axis ends on both sides, in points; intervals that go on are cut off.
    """
    with drawn_in(INK):
        title = f"{best.letter} − {other.letter}"
        figure, axes = _chart(title, xlabel="IoU points", height=1.0 + 0.2 * len(differences))
        axes.axvline(0, color=INK, linewidth=1)
        for row, difference in enumerate(differences):
            value = 100 * difference["value"]
            low, high = (value if difference[end] is None else 100 * difference[end] for end in ("low", "high"))
            is_told = difference["low"] is not None and not low <= 0 <= high
            colour = (best if value > 0 else other).colour if is_told else INK
            axes.plot([low, high], [row, row], color=colour, linewidth=1.8, solid_capstyle="round")
            axes.plot(value, row, "o", color=colour, markersize=5, gid=f"class-{row}")
        axes.set_xlim(-limit, limit)
        axes.set_ylim(len(differences) - 0.4, -0.6)
        axes.set_yticks(range(len(differences)), [_shortened(difference["name"]) for difference in differences])
        return as_svg(figure)


def _chart(title: str, *, xlabel: str, ylabel: str = "", height: float = SIZE[1]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(SIZE[0], height), layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, facecolor="none")
    axes.set_title(title, loc="left", fontweight="bold")
    axes.grid(color=INK, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _spread_out(axis: Axis, values: Sequence[float]) -> None:
    """Makes the axis logarithmic where on a linear one the largest value would leave the others no room."""
    if min(values) > 0 and max(values) > 20 * min(values):
        scale = "xscale" if axis.axis_name == "x" else "yscale"
        axis.axes.set(**{scale: "log"})
        axis.set_major_formatter(lambda value, _: f"{value:g}")


def _letter_ends(axes: Axes, ends: Sequence[tuple[Mark, float, float]]) -> None:
    """Writes letters behind the lines' ends, apart from one another."""
    ends = sorted(ends, key=lambda end: end[2])
    in_axes = axes.transScale + axes.transLimits
    heights = np.array([in_axes.transform(end[1:])[1] for end in ends])
    written = heights.copy()
    for _ in range(100):  # each two that overlap give way to one another
        overlap = np.maximum(0, 0.07 - np.diff(written)) / 2
        written[:-1] -= overlap
        written[1:] += overlap
    written += max(0.0, 0.02 - written.min(initial=1.0))  # below are the numbers of the axis
    for (mark, *end), offset in zip(ends, written - heights, strict=True):
        _write_letter(axes, mark, end, (8, offset * 72 * SIZE[1] * 0.75))  # the axes take three quarters of the figure


def _write_letter(axes: Axes, mark: Mark, at: Sequence[float], beside: tuple[float, float]) -> None:
    axes.annotate(
        mark.letter, at, beside, textcoords="offset points", ha="center", va="center",
        color=mark.colour, fontsize=10, fontweight="bold", annotation_clip=False,
    )  # fmt: skip


def _shortened(name: str) -> str:
    # A dollar sign would begin a formula.
    return (name if len(name) <= 22 else f"{name[:21]}…").replace("$", r"\$")
