"""scaling.html: how training would scale to more devices, from what a benchmark measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segtrain.benchmarks.scaling import BACKWARD_SHARE, LINKS, Link, Prediction, StepTerms, predict
from segtrain.reports.comparison_charts import COLOURS, SIZE
from segtrain.reports.page import as_html, write_page
from segtrain.reports.svg import INK, as_svg, drawn_in

# Who measures on a processor and means a GPU reads here what that does to efficiency.
SPEEDS = (1, 10, 100, 1000)
# Where two lines coincide, the broken one lies on top and shows both colours.
STYLES = ("-", (0, (4, 4)))
# Of efficiency: a thinner band hides behind the line at its foot, and that of the next link.
SEEN = 0.05


def write_scaling_page(path: Path, terms: StepTerms, exchange: Mapping[str, float], facts: Mapping[str, Any]) -> None:
    """Writes the page.

    Args:
        path: where to.
        terms: what was measured of a step, on which the predictions rest.
        exchange: medians of `measure_exchange`, without the `exchange.` of their names.
        facts: what stands beside them in benchmark.json.
    """
    predicted = [(link, predict_all(terms, link)) for link in LINKS]
    of_places = [[each for each in predicted if each[0].place == place] for place in ("one host", "hosts")]
    rate = terms.images / terms.single_seconds
    best, link = max(((pair, link) for link, pairs in predicted for pair in pairs), key=lambda each: _gain(each[0]))
    write_page(
        path,
        "scaling",
        terms=terms,
        exchange=exchange,
        facts=facts,
        predicted=predicted,
        charts=[
            *[as_html(draw_scaling(each, "images_per_second", "images/s", 1, rate)) for each in of_places],
            *[as_html(draw_scaling(each, "efficiency", "efficiency, %", 100, 0)) for each in of_places],
        ],
        overlap={"gain": _gain(best), "link": link, "replicas": best[0].replicas, "is_seen": _gain(best) >= SEEN},
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
    predicted: Sequence[tuple[Link, Sequence[tuple[Prediction, Prediction]]]],
    figure_of: str,
    title: str,
    scale: float,
    of_single: float,
) -> str:
    """Draws a figure of the predictions over the replicas; a band goes from no overlap to all that can be.

    Args:
        predicted: of each link of a place, as `predict_all` does.
        figure_of: the attribute of a `Prediction`.
        title: above the chart, before the place.
        scale: what the figure is multiplied by.
        of_single: how much each device that trains by itself adds to the figure; nothing of them is drawn when 0.

    Returns:
        An `<svg>` element.
    """
    longest = max(link.most for link, _ in predicted)
    ends = []
    with drawn_in(INK):
        figure = Figure(figsize=SIZE, layout="constrained", facecolor="none")
        axes = figure.subplots()
        if of_single:
            axes.plot([1, longest], [of_single, longest * of_single], color=INK, linestyle=":", gid="singles")
        for (link, pairs), style in zip(predicted, STYLES, strict=True):
            colour = COLOURS[LINKS.index(link)]
            replicas = [least.replicas for least, _ in pairs]
            least, most = ([scale * getattr(pair[end], figure_of) for pair in pairs] for end in (0, 1))
            if max(map(_gain, pairs)) >= SEEN:
                axes.fill_between(replicas, least, most, facecolor=colour, alpha=0.25, linewidth=0)
                axes.plot(replicas, most, color=colour, linewidth=0.8, alpha=0.7, gid=f"overlap-{link.name}")
            axes.plot(replicas, least, color=colour, linewidth=1.8, linestyle=style, marker=".", gid=link.name)
            ends.append((least[-1], replicas[-1], link.name, colour))
        axes.set(xlabel="replicas", xticks=range(longest // 8, longest + 1, longest // 8), ylim=(0, None))
        axes.set_facecolor("none")
        axes.set_title(f"{title}, {predicted[0][0].place}", loc="left", fontweight="bold")
        axes.grid(color=INK, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        _name_ends(axes, ends)
        return as_svg(figure)


def _name_ends(axes: Axes, ends: Sequence[tuple[float, int, str, str]]) -> None:
    """Writes names and values behind the lines' ends, in the lines' order, apart even where those end at one height."""
    for rank, (value, at, name, colour) in enumerate(sorted(ends)):
        written = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        axes.annotate(
            f"{name}: {written}", (at, value), (6, 11 * (rank - (len(ends) - 1) / 2)), textcoords="offset points",
            va="center", color=colour, fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def _gain(pair: tuple[Prediction, Prediction]) -> float:
    least, most = pair
    return most.efficiency - least.efficiency
