"""Curves of a run as SVG, to stand in a page of either colour scheme."""

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

# Readable on white and on black alike.
INK = "#808890"
TRAINING, VALIDATION = "#42a5f5", "#ef6c00"


def draw_curves(epochs: Sequence[dict[str, float]]) -> str:
    """Draws loss, mean IoU and learning rate over the epochs.

    Args:
        epochs: logs of each epoch, as `segtrain.training.callbacks.history.History` keeps them.

    Returns:
        An `<svg>` element.
    """
    with matplotlib.rc_context({"text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK,
                                "ytick.color": INK, "font.size": 9, "svg.fonttype": "none"}):  # fmt: skip
        figure = Figure(figsize=(11, 3), layout="constrained", facecolor="none")
        loss, mean_iou, rate = figure.subplots(1, 3)
        numbers = [epoch["epoch"] for epoch in epochs]
        for axes, name in ((loss, "loss"), (mean_iou, "mean_iou")):
            axes.plot(numbers, [epoch[name] for epoch in epochs], color=TRAINING, marker=".", label="training")
            axes.plot(
                numbers, [epoch["val_" + name] for epoch in epochs], color=VALIDATION, marker=".", label="validation"
            )
            axes.legend(frameon=False)
        mean_iou.set_ylim(0, 1)
        rate.plot(numbers, [epoch["learning_rate"] for epoch in epochs], color=INK, marker=".")
        for axes, title in ((loss, "loss"), (mean_iou, "mean IoU"), (rate, "learning rate")):
            axes.set(title=title, xlabel="epoch", facecolor="none")
            axes.grid(color=INK, alpha=0.25)
            axes.xaxis.get_major_locator().set_params(integer=True)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
