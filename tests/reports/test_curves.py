import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from segtrain.reports.curves import TRAINING, VALIDATION, draw_curves

NAMES = ("loss", "mean_iou", "val_loss", "val_mean_iou", "learning_rate", "images_per_second", "data_wait", "seconds")


def make_epochs(count, **changes):
    return [{"epoch": epoch, **dict.fromkeys(NAMES, 1 / (epoch + 1)), **changes} for epoch in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_the_curves_are_one_svg_with_a_point_an_epoch(count):
    svg = draw_curves(make_epochs(count))
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]
    titles = {"loss", "mean IoU", "learning rate", "training, images/s", "waiting for data, % of training time"}
    assert {*titles, "seconds of the epoch, validation included", "epoch", "training", "validation"} <= set(texts)
    for colour in (TRAINING, VALIDATION):
        uses = [
            use for use in root.iter("{http://www.w3.org/2000/svg}use") if f"fill: {colour}" in use.get("style", "")
        ]
        assert len(uses) == 2 * count + 2  # in two diagrams, and once in each legend
    # Points are cut off at the frame, which the ticks are not.
    points = [use for group in root.iter() if group.get("clip-path") for use in group if use.tag.endswith("}use")]
    assert len(points) == 8 * count


def test_a_loss_that_is_no_number_leaves_a_gap():
    ElementTree.fromstring(draw_curves(make_epochs(3, loss=math.nan, val_loss=math.inf)))


def points_of(svg, diagram):
    """Returns heights of the points in one of the diagrams, in parts of its height from below."""
    root = ElementTree.fromstring(svg)
    axes = next(group for group in root.iter() if group.get("id") == f"axes_{diagram}")
    frame = next(group for group in axes if group.get("id", "").startswith("patch_"))
    heights = [float(y) for _, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", frame[0].get("d"))]
    points = [use for group in axes.iter() if group.get("clip-path") for use in group if use.tag.endswith("}use")]
    return [(max(heights) - float(use.get("y"))) / (max(heights) - min(heights)) for use in points]


def test_waiting_is_shown_in_percent_of_the_whole():
    shares = [0.0, 0.25, 1.0]
    epochs = [epoch | {"data_wait": share} for epoch, share in zip(make_epochs(3), shares, strict=True)]
    assert points_of(draw_curves(epochs), 5) == pytest.approx(shares, abs=1e-4)


def test_a_rate_is_shown_from_zero_on():
    epochs = [epoch | {"images_per_second": rate} for epoch, rate in zip(make_epochs(2), (50.0, 100.0), strict=True)]
    slow, fast = points_of(draw_curves(epochs), 4)
    assert fast == pytest.approx(2 * slow, abs=1e-4)
