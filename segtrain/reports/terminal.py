"""Lines on the terminal that are there to be copied."""

from pathlib import Path

from rich.console import Console

from segtrain.pipeline.resizing import describe_size
from segtrain.pipeline.samples import Samples


def print_line(console: Console, text: str) -> None:
    """Prints text as it is: on one line however long, so that a path or a command in it can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def announce_run(
    console: Console,
    *,
    model_name: str,
    num_parameters: int,
    training: Samples,
    validation: Samples,
    epochs: int,
    steps_per_epoch: int,
    folder: Path,
    convention: str = "segtrain",
) -> None:
    """Prints in a line what is about to be trained, on what, and where that goes."""
    dataset = training.dataset
    scored = "" if convention == "segtrain" else f"scored under {convention}, "
    size = describe_size(training.image_size, dataset.resize)
    print_line(
        console,
        f"{model_name} ({num_parameters:,} parameters) on {dataset.name}: {len(training)} train, {len(validation)} "
        f"val, {dataset.num_classes} classes, {size}, {scored}{epochs} epochs of {steps_per_epoch} "
        f"steps. Run folder: {folder}",
    )
