import re

import numpy as np
import pytest

from segtrain.comparison.learning_curves import Band
from segtrain.reports.comparison_charts import (
    COLOURS,
    LETTERS,
    draw_class_differences,
    draw_cost,
    draw_learning_curves,
    marks,
)
from segtrain.reports.svg import INK

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def bands():
    rng = np.random.default_rng(0)
    epochs = np.arange(1, 11)
    return [(mark, Band(epochs, rng.uniform(0.2, 0.8, (3, 10)))) for mark in marks(["first", "second"])]


def test_lines_are_the_means_at_their_epochs(bands, read_chart):
    chart = read_chart(draw_learning_curves(bands, "validation mean IoU"))
    for mark, band in bands:
        x, y = chart.line(f"mean-{mark.letter}")
        np.testing.assert_allclose(chart.read("x", x), band.epochs, atol=1e-3)
        np.testing.assert_allclose(chart.read("y", y), band.of_runs.sum(axis=0) / 3, atol=1e-4)
    assert {"validation mean IoU", "epoch", "A", "B"} <= set(chart.texts)


def test_the_band_is_from_the_lowest_to_the_highest_run(bands, read_chart):
    (mark, band), _ = bands
    svg = draw_learning_curves([(mark, band)], "")
    chart = read_chart(svg)
    (shape,) = [group for group in chart.root.iter(f"{SVG}g") if group.get("id", "").startswith("FillBetween")]
    path = next(shape.iter(f"{SVG}path")).get("d")
    x, y = np.array(re.findall(r"[ML] ([\d.-]+) ([\d.-]+)", path), float).T
    use = next(shape.iter(f"{SVG}use"))  # which moves the path to its place
    at, heights = chart.read("x", x + float(use.get("x"))).round(), chart.read("y", y + float(use.get("y")))
    for epoch, of_runs in zip(band.epochs, band.of_runs.T, strict=True):
        of_epoch = heights[at == epoch]
        np.testing.assert_allclose([of_epoch.min(), of_epoch.max()], [of_runs.min(), of_runs.max()], atol=1e-4)
    assert "FillBetween" not in draw_learning_curves([(mark, Band(band.epochs, band.of_runs[:1]))], "")


def test_an_axis_is_logarithmic_where_values_are_far_apart(read_chart):
    (mark,) = marks(["x"])
    values = np.array([[1000.0, 100.0, 10.0, 1.0]])
    chart = read_chart(draw_learning_curves([(mark, Band(np.arange(1, 5), values))], "validation loss"))
    _, y = chart.line("mean-A")
    np.testing.assert_allclose(chart.read("y", y, np.log, np.exp), values[0], rtol=1e-3)


def test_an_axis_of_scores_stays_linear(read_chart):
    (mark,) = marks(["x"])
    values = np.array([[0.001, 0.01, 0.1, 0.9]])
    svg = draw_learning_curves([(mark, Band(np.arange(1, 5), values))], "", is_share=True)
    chart = read_chart(svg)
    np.testing.assert_allclose(chart.read("y", chart.line("mean-A")[1]), values[0], atol=1e-4)


def test_letters_of_lines_that_end_together_do_not_overlap(read_chart):
    bands = [(mark, Band(np.array([1, 2]), np.array([[0.0, 0.5]]))) for mark in marks(list("uvwxyz"))]
    chart = read_chart(draw_learning_curves(bands, ""))
    texts = [text for text in chart.root.iter(f"{SVG}text") if "".join(text.itertext()).strip() in LETTERS]
    places = sorted(float(text.get("y")) for text in texts)
    assert len(places) == 6
    assert min(np.diff(places)) > 8  # points, of letters of 10


def test_the_best_six_have_a_letter_and_colour_of_their_own():
    looks = marks([str(number) for number in range(8)])
    assert [(look.letter, look.colour) for look in looks[:6]] == list(zip(LETTERS, COLOURS, strict=True))
    assert {(look.letter, look.colour) for look in looks[6:]} == {("", INK)}


@pytest.mark.parametrize("most", [4.0, 400.0])
def test_the_large_mark_is_the_mean_of_the_runs(most, read_chart):
    points = [
        (mark, costs, scores)
        for mark, costs, scores in zip(
            marks(["x", "y"]), ([1.0, 2.0], [3.0, most]), ([0.2, 0.4], [0.5, 0.9]), strict=True
        )
    ]
    chart = read_chart(draw_cost(points, "parameters, millions"))
    scales = (np.log, np.exp) if most > 20 else ()
    for mark, costs, scores in points:
        x, y = chart.point(f"mean-{mark.letter}")
        assert chart.read("x", x, *scales) == pytest.approx(np.mean(costs), rel=1e-3)
        assert chart.read("y", y) == pytest.approx(np.mean(scores), abs=1e-4)
    dots = [group for group in chart.root.iter(f"{SVG}g") if group.get("id", "").startswith("PathCollection")]
    assert [len(list(group.iter(f"{SVG}use"))) for group in dots] == [2, 2]
    assert {"parameters, millions", "mean IoU", "A", "B"} <= set(chart.texts)


def test_classes_are_dots_with_intervals_about_a_zero_line(read_chart):
    differences = [
        {"name": "sky", "value": 0.10, "low": 0.05, "high": 0.15},
        {"name": "$car$ of a name that is much too long", "value": 0.01, "low": -0.04, "high": 0.06},
        {"name": "road", "value": -0.2, "low": -0.3, "high": -0.1},
        {"name": "tree", "value": -0.25, "low": None, "high": None},
    ]
    best, other = marks(["x", "y"])
    chart = read_chart(draw_class_differences(best, other, differences, 40))
    for row, (difference, colour) in enumerate(zip(differences, [best.colour, INK, other.colour, INK], strict=True)):
        x, _ = chart.point(f"class-{row}")
        assert chart.read("x", x) == pytest.approx(100 * difference["value"], abs=1e-2)
        assert colour in next(chart.group(f"class-{row}").iter(f"{SVG}use")).get("style")
    assert {"A − B", "IoU points", "sky", "$car$ of a name that …", "road"} <= set(chart.texts)
    at, numbers = chart.ticks("x")
    assert numbers[0] == -numbers[-1] == -40
