import io
from pathlib import Path

import pytest
from rich.console import Console

from segtrain.pipeline.samples import Samples
from segtrain.reports.terminal import announce_run, note_on_windows


@pytest.fixture
def announced(shapes_dataset):
    """Returns a function: what is printed of a run on 24 images."""

    def announced(**facts):
        output, samples = io.StringIO(), Samples(shapes_dataset, "train", image_size=(8, 8))
        of_run = {"model_name": "segnet", "num_parameters": 12345, "epochs": 3, "images_per_step": 6}
        of_run |= {"training": samples, "validation": samples, "folder": Path("out")}
        announce_run(Console(file=output, width=40), **(of_run | facts))
        return output.getvalue()

    return announced


@pytest.mark.parametrize(("convention", "is_named"), [("segtrain", False), ("per_image", True)])
def test_a_convention_of_others_is_announced(announced, convention, is_named):
    output = announced(convention=convention)
    assert ("scored under per_image, 3 epochs of 4 steps. Run folder: out" in output) is is_named
    assert "3 epochs of 4 steps. Run folder: out\n" in output


@pytest.mark.parametrize(
    ("images_per_step", "told"),
    [
        (8, "3 epochs of 3 steps. Run"),
        (24, "3 epochs of 1 step. Run"),
        (16, "3 epochs of 1 step, each without 8 images: a step takes 16. Run"),
        (23, "3 epochs of 1 step, each without 1 image: a step takes 23. Run"),
    ],
)
def test_images_that_fill_no_step_are_announced(announced, images_per_step, told):
    output = announced(images_per_step=images_per_step)
    assert told in output


@pytest.mark.parametrize(("num_frozen", "told"), [(0, "(12,345 parameters) on"), (2345, "2,345 of them frozen) on")])
def test_frozen_parameters_are_announced(announced, num_frozen, told):
    output = announced(num_frozen=num_frozen)
    assert told in output


@pytest.mark.parametrize(
    ("window", "image_size", "is_noted"), [((64, 64), [24, 32], True), ((64, 64), None, False), (None, [24, 32], False)]
)
def test_windows_at_another_scale_are_noted(window, image_size, is_noted):
    output = io.StringIO()
    note_on_windows(Console(file=output, width=40), window, image_size)
    assert ("images brought to 24x32" in output.getvalue()) is is_noted
