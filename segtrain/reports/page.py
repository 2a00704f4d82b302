"""Fills the HTML templates. A page is one file: pictures are inside, and nothing is fetched."""

import base64
from pathlib import Path
from typing import Any

import jinja2

from segtrain.run_folder import write_text


def write_page(path: Path, template: str, **values: Any) -> None:
    """Writes a page from `templates/<template>.html`; every value is escaped unless it is marked as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segtrain.reports"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"score": show_score, "share": show_share}
    write_text(path, environment.get_template(f"{template}.html").render(**values))


def as_html(text: str) -> jinja2.filters.Markup:
    """Marks text of our own making, such as an SVG, as HTML."""
    return jinja2.filters.Markup(text)


def picture_source(path: Path) -> str:
    """Returns a PNG file as the `src` of an `<img>`."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def show_score(value: float | None, digits: int = 3) -> str:
    """Returns a score for reading; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def show_share(share: float) -> str:
    """Returns a share of 0..1 for reading, in percent."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.1%}" if share else "0%"
