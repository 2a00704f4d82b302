"""Lines on the terminal that are there to be copied."""

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from segtrain.pipeline.resizing import describe_size
from segtrain.pipeline.samples import Samples


def print_line(console: Console, text: str) -> None:
    """Prints text as it is: on one line however long, so that a path or a command in it can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def note_on_windows(console: Console, sliding_window: Sequence[int] | None, image_size: Sequence[int] | None) -> None:
    """Prints what to expect of windows where the run saw images at another size than their own."""
    if sliding_window is not None and image_size is not None:
        size = "x".join(map(str, image_size))
        print_line(
            console,
            f"note: a window shows the network the image at its own scale; this run saw images brought to {size}. "
            "Where the two scales differ much, results are worse than without sliding_window.",
        )


def announce_run(
    console: Console,
    *,
    model_name: str,
    num_parameters: int,
    num_frozen: int = 0,
    training: Samples,
    validation: Samples,
    epochs: int,
    images_per_step: int,
    folder: Path,
    convention: str = "segtrain",
) -> None:
    """Prints in a line what is about to be trained, on what, and where that goes."""
    dataset = training.dataset
    steps = training.steps_per_epoch(images_per_step)
    left_out = len(training) - steps * images_per_step
    leaving = f", each without {_counted(left_out, 'image')}: a step takes {images_per_step}" if left_out else ""
    scored = "" if convention == "segtrain" else f"scored under {convention}, "
    frozen = f", {num_frozen:,} of them frozen" if num_frozen else ""
    size = describe_size(training.image_size, dataset.resize)
    print_line(
        console,
        f"{model_name} ({num_parameters:,} parameters{frozen}) on {dataset.name}: {len(training)} train, "
        f"{len(validation)} val, {dataset.num_classes} classes, {size}, {scored}{_counted(epochs, 'epoch')} of "
        f"{_counted(steps, 'step')}{leaving}. Run folder: {folder}",
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def tell_of_skipped(splits: list[Samples], console: Console) -> dict[str, Any]:
    """Returns why each skipped sample was, by split, and a line about each split for people, which is printed too."""
    warnings = [samples.describe_skipped() for samples in splits if samples.skipped]
    for warning in warnings:
        print_line(console, warning)
    return {"samples": {each.split: list(each.skipped.values()) for each in splits}, "warnings": warnings}


def followed(description: str, total: int, console: Console) -> Callable[[Iterable], Iterable]:
    """Returns what shows on a terminal how far an iterable of `total` items is."""
    return functools.partial(
        track,
        description=description,
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
