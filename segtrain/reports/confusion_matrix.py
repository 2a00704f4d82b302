"""The confusion matrix as a picture and as a table."""

import contextlib
import csv
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from segtrain.reports.svg import INK, as_svg, drawn_in
from segtrain.run_folder import written_whole

# With more classes the numbers in the cells could not be read.
MOST_WITH_NUMBERS = 25
# Names that stand along an axis; of more classes, those are shown that are spread evenly.
MOST_NAMES = 50
COLOURS = "Blues"
# From this share of the row on, a cell is so dark that its number has to be light.
DARK_FROM = 0.715


def draw_confusion_matrix(confusion: np.ndarray, class_names: Sequence[str]) -> str:
    """Draws what the pixels of each class were taken for, to stand in a page of either colour scheme.

    Args:
        confusion: int64 `(classes, classes)`; pixels of true class `row` predicted as `column`.
        class_names: names by class id.

    Returns:
        An `<svg>` element: each row in shares of its truth. A class without truth has an empty row.
    """
    with drawn_in(INK), _any_letters():
        return as_svg(_draw(confusion, class_names))


def save_confusion_picture(path: Path, confusion: np.ndarray, class_names: Sequence[str]) -> None:
    """Writes the drawing as a PNG file on white; arguments as of `draw_confusion_matrix`."""
    with drawn_in("black"), _any_letters(), written_whole(path) as temporary:
        _draw(confusion, class_names).savefig(temporary, format="png", dpi=150, facecolor="white")


def write_confusion_csv(path: Path, confusion: np.ndarray, class_names: Sequence[str]) -> None:
    """Writes counts of pixels as CSV, UTF-8: a row for each true class, a column for each predicted one, with names.

    Args:
        path: the file.
        confusion: int64 `(classes, classes)`; pixels of true class `row` predicted as `column`.
        class_names: names by class id.
    """
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["truth \\ predicted", *class_names])
        writer.writerows([name, *row] for name, row in zip(class_names, confusion.tolist(), strict=True))


@contextlib.contextmanager
def _any_letters() -> Iterator[None]:
    with warnings.catch_warnings():
        # A name in letters that Matplotlib's font lacks: the table has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _draw(confusion: np.ndarray, class_names: Sequence[str]) -> Figure:
    count = len(class_names)
    truth = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, truth, out=np.full(confusion.shape, np.nan), where=truth > 0)
    side = np.clip(0.42 * count, 3, 7.5)
    figure = Figure(figsize=(side + 2.2, side + 1.2), layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.set_facecolor("none")
    image = axes.imshow(shares, cmap=COLOURS, vmin=0, vmax=1, interpolation="none", aspect="equal")
    shown = np.unique(np.linspace(0, count - 1, min(count, MOST_NAMES)).round().astype(int))
    # A name is no formula, whatever dollar signs it has.
    names = [class_names[class_id] for class_id in shown]
    size = 9 if count <= MOST_WITH_NUMBERS else 7
    axes.set_xticks(shown, names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(shown, names, fontsize=size, parse_math=False)
    axes.set(xlabel="predicted", ylabel="truth")
    if count <= MOST_WITH_NUMBERS:
        for row, column in np.argwhere(~np.isnan(shares)):
            share = shares[row, column]
            axes.text(column, row, _percent(share), ha="center", va="center", color=number_colour(share), fontsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0%", "50%", "100%"])
    bar.set_label("share of the true class's pixels")
    return figure


def number_colour(share: float) -> str:
    """Returns the colour for the number in a cell that shows this share of its row, 0..1."""
    return "white" if share >= DARK_FROM else "black"


def _percent(share: float) -> str:
    """Returns a share in whole percent; nothing where it is zero, so that what is confused stands out."""
    if share == 0:
        return ""
    return "<1" if share < 0.005 else f"{100 * share:.0f}"
