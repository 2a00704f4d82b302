"""The drawing is read back from its SVG, the table by Python's csv."""

import csv
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from segtrain.reports.confusion_matrix import (
    COLOURS,
    MOST_NAMES,
    MOST_WITH_NUMBERS,
    draw_confusion_matrix,
    number_colour,
    save_confusion_picture,
    write_confusion_csv,
)
from segtrain.reports.svg import INK

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["sky", "a, <b>", "$x$ & Größe"]
CONFUSION = np.array([[600, 399, 1], [0, 50, 0], [0, 0, 0]])


def texts_of(svg):
    root = ElementTree.fromstring(svg)
    assert root.tag == SVG + "svg"
    return ["".join(element.itertext()).strip() for element in root.iter(SVG + "text")]


def test_cells_are_percent_of_the_rows_truth():
    texts = texts_of(draw_confusion_matrix(CONFUSION, NAMES))
    for name in NAMES:
        assert texts.count(name) == 2  # along either side
    assert {"truth", "predicted"} <= set(texts)
    # Row by row; zeros say nothing, and the class without truth has no numbers.
    assert [text for text in texts if re.fullmatch(r"<?\d+", text)] == ["60", "40", "<1", "100"]


@pytest.mark.parametrize("count", [2, MOST_WITH_NUMBERS, MOST_WITH_NUMBERS + 1, 150])
def test_many_classes_have_no_numbers_and_fewer_names(count):
    names = [f"class {class_id}" for class_id in range(count)]
    texts = texts_of(draw_confusion_matrix(np.eye(count, dtype=int) * 7, names))
    assert texts.count("100") == (count if count <= MOST_WITH_NUMBERS else 0)
    named = [text for text in texts if text.startswith("class ")]
    assert len(named) == 2 * min(count, MOST_NAMES)
    assert {"class 0", f"class {count - 1}"} <= set(named)


def test_the_page_shines_through_and_words_are_readable_on_both_schemes():
    svg = draw_confusion_matrix(CONFUSION, NAMES)
    words = [
        element
        for element in ElementTree.fromstring(svg).iter(SVG + "text")
        if "".join(element.itertext()).strip() in [*NAMES, "truth", "predicted"]
    ]
    assert len(words) == 8
    assert all(INK in element.get("style") for element in words)
    patches = re.findall(r'<g id="patch_\d+">\s*<path d="[^"]*" style="([^"]*)"', svg)
    assert len(patches) == 8
    assert all("fill: none" in style for style in patches)


def test_names_in_other_letters_are_drawn_without_a_warning(tmp_path, recwarn):
    names = ["空", "道路", "людина"]
    texts = texts_of(draw_confusion_matrix(CONFUSION, names))
    save_confusion_picture(tmp_path / "confusion.png", CONFUSION, names)
    assert [texts.count(name) for name in names] == [2, 2, 2]
    assert not recwarn.list


def luminance(colour):
    """Relative luminance by WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def test_numbers_stand_out_from_their_cells():
    for share in np.linspace(0, 1, 101):
        cell = luminance(matplotlib.colormaps[COLOURS](share))
        number = luminance(matplotlib.colors.to_rgb(number_colour(share)))
        assert (max(cell, number) + 0.05) / (min(cell, number) + 0.05) >= 4.5


def test_the_picture_is_white_around_and_dark_on_the_diagonal(tmp_path):
    path = tmp_path / "confusion.png"
    save_confusion_picture(path, np.eye(4, dtype=int) * 9, list("abcd"))
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels[0, 0].tolist() == pixels[-1, 0].tolist() == [255, 255, 255]
    full = np.array(matplotlib.colormaps[COLOURS](1.0, bytes=True)[:3])
    is_full = (pixels == full).all(axis=2)
    rows, columns = is_full.nonzero()
    # Down the diagonal: where rows go on, columns do.
    assert np.corrcoef(rows, columns)[0, 1] > 0.9
    assert [path.name for path in tmp_path.iterdir()] == ["confusion.png"]


def test_the_table_has_counts_with_names(tmp_path):
    path = tmp_path / "confusion.csv"
    write_confusion_csv(path, CONFUSION * 10**10, NAMES)
    with path.open(newline="", encoding="utf-8") as file:
        (_, *columns), *rows = csv.reader(file)
    assert columns == NAMES
    assert [name for name, *_ in rows] == NAMES
    assert [[int(count) for count in counts] for _, *counts in rows] == (CONFUSION * 10**10).tolist()
