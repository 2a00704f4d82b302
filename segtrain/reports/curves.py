"""Curves of a run as SVG, to stand in a page of either colour scheme."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segtrain.reports.svg import INK, as_svg, drawn_in

TRAINING, VALIDATION = "#42a5f5", "#ef6c00"


def draw_curves(epochs: Sequence[dict[str, float]]) -> str:
    """Draws loss, mean IoU, learning rate, and what the time went into, over the epochs.

    Args:
        epochs: logs of each epoch, as `segtrain.training.callbacks.history.History` keeps them.

    Returns:
        An `<svg>` element.
    """
    with drawn_in(INK):
        figure = Figure(figsize=(9, 7.5), layout="constrained", facecolor="none")
        diagrams = figure.subplot_mosaic([["loss", "mean_iou"], ["learning_rate", "images_per_second"],
                                          ["data_wait", "seconds"]])  # fmt: skip
        numbers = [epoch["epoch"] for epoch in epochs]
        for name in ("loss", "mean_iou"):
            axes = diagrams[name]
            _plot(axes, numbers, [epoch[name] for epoch in epochs], TRAINING, "training")
            _plot(axes, numbers, [epoch["val_" + name] for epoch in epochs], VALIDATION, "validation")
            axes.legend(frameon=False)
        for name in ("learning_rate", "images_per_second", "seconds"):
            _plot(diagrams[name], numbers, [epoch[name] for epoch in epochs], INK)
        _plot(diagrams["data_wait"], numbers, [100 * epoch["data_wait"] for epoch in epochs], INK)
        diagrams["mean_iou"].set_ylim(0, 1)
        diagrams["data_wait"].set_ylim(0, 100)
        for name in ("images_per_second", "seconds"):
            diagrams[name].set_ylim(bottom=0)
        titles = {
            "loss": "loss",
            "mean_iou": "mean IoU",
            "learning_rate": "learning rate",
            "images_per_second": "training, images/s",
            "data_wait": "waiting for data, % of training time",
            "seconds": "seconds of the epoch, validation included",
        }
        for name, title in titles.items():
            axes = diagrams[name]
            axes.set(title=title, xlabel="epoch", facecolor="none")
            axes.grid(color=INK, alpha=0.25)
            axes.xaxis.get_major_locator().set_params(integer=True)
        return as_svg(figure)


def _plot(axes: Axes, numbers: Sequence[int], values: Sequence[float], colour: str, label: str | None = None) -> None:
    axes.plot(numbers, values, color=colour, marker=".", label=label)
