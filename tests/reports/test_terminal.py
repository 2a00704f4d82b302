import io
from pathlib import Path

import pytest
from rich.console import Console

from segtrain.pipeline.samples import Samples
from segtrain.reports.terminal import announce_run


@pytest.mark.parametrize(("convention", "is_named"), [("segtrain", False), ("per_image", True)])
def test_a_convention_of_others_is_announced(shapes_dataset, convention, is_named):
    output, samples = io.StringIO(), Samples(shapes_dataset, "train", image_size=(8, 8))
    announce_run(
        Console(file=output, width=40),
        model_name="segnet",
        num_parameters=12345,
        training=samples,
        validation=samples,
        epochs=3,
        steps_per_epoch=4,
        folder=Path("out"),
        convention=convention,
    )
    assert ("scored under per_image, 3 epochs of 4 steps. Run folder: out" in output.getvalue()) is is_named
    assert "3 epochs of 4 steps. Run folder: out\n" in output.getvalue()
