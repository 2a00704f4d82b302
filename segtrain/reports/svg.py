"""Figures of Matplotlib, as they stand in a page of either colour scheme."""

import contextlib
import io
from collections.abc import Iterator

import matplotlib
from matplotlib.figure import Figure

# Readable on white and on black alike.
INK = "#808890"


@contextlib.contextmanager
def drawn_in(ink: str) -> Iterator[None]:
    """Has axes and letters drawn in one colour; letters of an SVG stay text, which the page's font has more of."""
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    with matplotlib.rc_context({**dict.fromkeys(names, ink), "font.size": 9, "svg.fonttype": "none"}):
        yield


def as_svg(figure: Figure) -> str:
    """Returns the figure as an `<svg>` element without a background; to be called within `drawn_in`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]
