import math
import xml.etree.ElementTree as ElementTree

import pytest

from segtrain.reports.curves import TRAINING, VALIDATION, draw_curves

NAMES = ("loss", "mean_iou", "val_loss", "val_mean_iou", "learning_rate")


def make_epochs(count, **changes):
    return [{"epoch": epoch, **dict.fromkeys(NAMES, 1 / (epoch + 1)), **changes} for epoch in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_the_curves_are_one_svg_with_a_point_an_epoch(count):
    svg = draw_curves(make_epochs(count))
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"loss", "mean IoU", "learning rate", "epoch", "training", "validation"} <= set(texts)
    for colour in (TRAINING, VALIDATION):
        uses = [
            use for use in root.iter("{http://www.w3.org/2000/svg}use") if f"fill: {colour}" in use.get("style", "")
        ]
        assert len(uses) == 2 * count + 2  # in two diagrams, and once in each legend


def test_a_loss_that_is_no_number_leaves_a_gap():
    ElementTree.fromstring(draw_curves(make_epochs(3, loss=math.nan, val_loss=math.inf)))
