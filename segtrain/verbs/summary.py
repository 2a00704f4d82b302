"""Sums a network up, before there is any data."""

import functools

from rich.console import Console

from segtrain.instantiate import build
from segtrain.parts import start_tensorflow
from segtrain.reports.terminal import print_line
from segtrain.settings import SummarySettings
from segtrain.starting_weights import reading_weights
from segtrain.verbs.invocation import Invocation


def summary(settings: SummarySettings, invocation: Invocation) -> None:
    """Prints what the network is made of and what an image costs it, and writes summary.json. Reads no data.

    Raises:
        ValueError: there is no image size, or the network refuses its settings.
    """
    folder, console = invocation.folder, Console()
    if settings.image_size is None:
        raise ValueError("summary counts for images of one size. Type image_size=[HEIGHT,WIDTH].")
    num_classes, told_by = _num_classes_without_files(settings)
    trainer = start_tensorflow(settings, folder)

    from segtrain.models.costs import stage_costs
    from segtrain.reports.summary import as_table, summarise

    # Weights change no count, and may have to be downloaded.
    with trainer.scope(), reading_weights(False, tell=functools.partial(print_line, console)):
        model = build(settings.model, num_classes=num_classes, channels=settings.channels)
    summary = summarise(model, stage_costs(model, settings.image_size), settings.image_size)
    folder.write_summary(summary | {"command": invocation.command})
    console.print(as_table(summary))
    print_line(console, f"{num_classes} classes: {told_by}")
    print_line(console, f"summary {folder.summary}")


def _num_classes_without_files(settings: SummarySettings) -> tuple[int, str]:
    """Returns the number of classes as far as the settings tell it, and what told it."""
    stand_in, dataset = settings.stand_in or {}, settings.dataset
    if settings.num_classes:
        return settings.num_classes, "num_classes"
    if "num_classes" in stand_in:
        return stand_in["num_classes"], "the experiment's"
    if "num_classes" in dataset:
        return dataset["num_classes"], "dataset.num_classes"
    if dataset.get("classes"):
        return len(dataset["classes"]), "dataset.classes"
    return 21, "assumed, since no data is read. Type num_classes=N"
