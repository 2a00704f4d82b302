"""The summary of a network: a table for the terminal, and summary.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras
import rich.box
from rich.markup import escape
from rich.table import Table

from segtrain.models.costs import Stage


def summarise(model: keras.Model, stages: Sequence[Stage], image_size: Sequence[int]) -> dict[str, Any]:
    """Returns what summary.json holds, as plain values."""
    return {
        "model": model.name,
        "image_size": list(image_size),
        "channels": model.input_shape[-1],
        "num_classes": model.output_shape[-1],
        "parameters": model.count_params(),
        "trainable_parameters": sum(variable.shape.num_elements() for variable in model.trainable_variables),
        "flops_per_image": sum(stage.flops for stage in stages),
        "activation_bytes_per_image": sum(stage.activation_bytes for stage in stages),
        "stages": [asdict(stage) for stage in stages],
    }


def as_table(summary: Mapping[str, Any]) -> Table:
    """Returns a summary as a table, a row a stage and one for the sum."""
    height, width = summary["image_size"]
    title = f"{summary['model']}, an image of {height}x{width}x{summary['channels']}, {summary['num_classes']} classes"
    table = Table(title=escape(title), title_justify="left", box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("stage")
    for column in ("output size", "layers", "parameters", "GFLOP", "memory, MB"):
        table.add_column(column, justify="right")
    for stage in summary["stages"]:
        size = "x".join(str(length) for length in stage["output_size"])
        table.add_row(
            stage["name"],
            size,
            str(len(stage["layers"])),
            *_costs(stage["parameters"], stage["flops"], stage["activation_bytes"]),
        )
    table.add_section()
    layers = sum(len(stage["layers"]) for stage in summary["stages"])
    total = (summary[name] for name in ("parameters", "flops_per_image", "activation_bytes_per_image"))
    table.add_row("network", "", str(layers), *_costs(*total))
    table.caption = (
        f"{summary['trainable_parameters']:,} of the parameters are trained. FLOP: of convolutions, forwards. "
        "Memory: of all that the layers emit."
    )
    table.caption_justify = "left"
    return table


def _costs(parameters: int, flops: int, activation_bytes: int) -> tuple[str, str, str]:
    return f"{parameters:,}", f"{flops / 1e9:.3f}", f"{activation_bytes / 1e6:.1f}"
