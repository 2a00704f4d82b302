"""scaling.html: how training would scale to more devices, from what a benchmark measured."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from segtrain.benchmarks.scaling import BACKWARD_SHARE, LINKS, Link, Prediction, StepTerms, predict
from segtrain.reports.comparison_charts import COLOURS, SIZE
from segtrain.reports.page import as_html, write_page
from segtrain.reports.svg import INK, as_svg, drawn_in

# Lines that coincide take turns: every other one, of those on top, has gaps.
DASHES = ("--", "-")
# Who measures on a processor and means a GPU reads here what that does to efficiency.
SPEEDS = (1, 10, 100, 1000)


def write_scaling_page(path: Path, terms: StepTerms, exchange: Mapping[str, float], facts: Mapping[str, Any]) -> None:
    """Writes the page.

    Args:
        path: where to.
        terms: what was measured of a step, on which the predictions rest.
        exchange: medians of `measure_exchange`, without the `exchange.` of their names.
        facts: what stands beside them in benchmark.json.
    """
    predicted = [(link, predict_all(terms, link)) for link in LINKS]
    write_page(
        path,
        "scaling",
        terms=terms,
        exchange=exchange,
        facts=facts,
        predicted=predicted,
        charts=[
            as_html(draw_scaling(predicted, "images_per_second", "images/s", 1)),
            as_html(draw_scaling(predicted, "efficiency", "efficiency, %", 100)),
        ],
        legend=list(zip(LINKS, COLOURS, strict=False)),
        backward_share=BACKWARD_SHARE,
        speeds=SPEEDS,
        at_speeds=[
            (link, [predict(terms, link.most, link, 0.0, speed).efficiency for speed in SPEEDS]) for link in LINKS
        ],
    )


def predict_all(terms: StepTerms, link: Link) -> list[tuple[Prediction, Prediction]]:
    """Returns for 1, 2, ... replicas what is predicted where nothing overlaps, and where all does that can."""
    return [
        (predict(terms, replicas, link, 0.0), predict(terms, replicas, link, BACKWARD_SHARE))
        for replicas in range(1, link.most + 1)
    ]


def draw_scaling(
    predicted: Sequence[tuple[Link, Sequence[tuple[Prediction, Prediction]]]], figure_of: str, title: str, scale: float
) -> str:
    """Draws a figure of the predictions over the replicas; a band goes from no overlap to all that can be.

    Args:
        predicted: of each link, as `predict_all` does.
        figure_of: the attribute of a `Prediction`.
        title: above the chart.
        scale: what the figure is multiplied by.

    Returns:
        An `<svg>` element.
    """
    with drawn_in(INK):
        figure = Figure(figsize=SIZE, layout="constrained", facecolor="none")
        axes = figure.subplots()
        # The fastest link last: its line lies on top where several coincide.
        for colour, dashes, (link, pairs) in reversed(
            list(zip(COLOURS, itertools.cycle(DASHES), predicted, strict=False))
        ):
            replicas = [least.replicas for least, _ in pairs]
            least, most = ([scale * getattr(pair[end], figure_of) for pair in pairs] for end in (0, 1))
            axes.plot(replicas, least, color=colour, linestyle=dashes, marker=".", gid=link.name)
            axes.fill_between(replicas, least, most, color=colour, alpha=0.18, linewidth=0)
        axes.set(xlabel="replicas", facecolor="none", ylim=(0, None))
        axes.set_title(title, loc="left", fontweight="bold")
        axes.grid(color=INK, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
        return as_svg(figure)
