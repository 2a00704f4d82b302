"""The figures of a benchmark as a table and as benchmark.json."""

import math
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from segtrain.benchmarks.alternation import Figure

# What each figure is, how it is written, and what it should be where there is a goal.
ROWS: dict[str, tuple[str, str, str]] = {
    "pipeline_images_per_second": ("pipeline alone, images/s", ".0f", ""),
    "step_images_per_second": ("bare training step, images/s", ".0f", ""),
    "loop_images_per_second": ("whole loop, images/s", ".0f", ""),
    "loop_over_step": ("whole loop / bare step", ".3f", ">= 0.97"),
    "data_wait": ("time spent waiting for data", ".1%", ""),
    "flops_per_image": ("GFLOP of a step, per image", "giga", ""),
    "achieved_flops_per_second": ("GFLOP/s of the bare step", "giga", ""),
    "peak_flops_per_second": ("GFLOP/s of a matrix product", "giga", ""),
    "achieved_over_peak": ("achieved / matrix product", ".0%", ""),
    "peak_memory_bytes": ("peak memory, GB", "giga", ""),
    "xla_over_graph": ("step by XLA / graph, time", ".2f", ""),
    "exchange.images_per_second": ("all replicas, images/s", ".4g", ""),
    "exchange.images_per_second_per_replica": ("a replica, images/s", ".4g", ""),
    "exchange.single_images_per_second": ("one device on its batch, images/s", ".4g", ""),
    "exchange.replica_over_single": ("a replica / one device", ".2f", ""),
    "exchange.compute_seconds": ("a replica's step without exchange, s", ".4f", ""),
    "exchange.bytes_per_step": ("exchanged a step, bytes", ",.0f", ""),
    "exchange.gradient_bytes": ("of these: gradients", ",.0f", ""),
    "exchange.statistics_bytes": ("of these: statistics and counts", ",.0f", ""),
    "exchange.scalar_bytes": ("of these: single numbers", ",.0f", ""),
    "exchange.sent_bytes_per_device": ("sent by each device of a ring", ",.0f", ""),
    "exchange.all_reduces": ("all-reduces a step", ".0f", ""),
    "exchange.gradient_all_reduces": ("of these: of gradients", ".0f", ""),
    "exchange.seconds": ("all-reduces alone, s", ".4f", ""),
    "exchange.share": ("all-reduces alone / step", ".1%", ""),
    "pooling_pair.graph_ratio": ("pooling pair / usual way, time", ".3f", "<= 0.40"),
    "pooling_pair.xla_ratio": ("the same by XLA / usual way", ".3f", "<= 0.25"),
    "pooling_pair.bytes_per_window.codes": ("bytes per window: our codes", ".0f", ""),
    "pooling_pair.bytes_per_window.positions": ("bytes per window: usual positions", ".0f", ""),
    "pooling_pair.bytes_per_window.float_map": ("bytes per window: the float map", ".0f", ""),
    "segnet_over_encoder_decoder": ("segnet_small / plain twin, time", ".3f", "<= 1.08"),
    "step_over_torch": ("segnet_small / PyTorch, time", ".3f", "<= 1"),
    "pipeline_over_reference": ("pipeline / a call an image", ".2f", ">= 1.8"),
    "pipeline_over_torch": ("pipeline / PyTorch DataLoader", ".2f", ">= 1.8"),
    "pipeline_over_torch_uint8": ("the same, bytes from its workers", ".2f", ""),
    "fused_pipeline_over_reference": ("rotate_flip_crop / a call an image", ".2f", ""),
    "disk_cache_over_png": ("disk cache / decoding PNG", ".1f", ">= 5"),
    "start_up.help_seconds": ("segtrain --help, s", ".2f", "<= 1.0"),
    "start_up.cfg_job_seconds": ("segtrain --cfg job, s", ".2f", "<= 1.0"),
    "start_up.mistyped_seconds": ("mistyped option, s", ".2f", "<= 1.0"),
    "start_up.import_tensorflow_seconds": ("import tensorflow, s", ".2f", ""),
    "start_up.first_step_seconds": ("first training step done, s", ".2f", ""),
    "start_up.first_step_over_import": ("first step / import tensorflow", ".2f", "<= 2"),
}


def as_table(figures: Mapping[str, Figure], title: str) -> Table:
    """Returns the figures as a table: median, lowest and highest over the rounds, and the goal."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("figure")
    for column in ("median", "lowest", "highest", "goal"):
        table.add_column(column, justify="right")
    for name, (label, form, goal) in ROWS.items():
        if name in figures:
            figure = figures[name]
            same = figure.low == figure.high or math.isnan(figure.median)
            spread = ("", "") if same else (_written(figure.low, form), _written(figure.high, form))
            table.add_row(
                label, _written(figure.median, form), *spread, goal if _reached(figure, goal) else f"{goal} missed"
            )
    return table


def as_dict(figures: Mapping[str, Figure]) -> dict[str, Any]:
    """Returns the medians nested by the dots of their names, and under `spread` the lowest and highest alike."""
    medians: dict[str, Any] = {}
    spreads: dict[str, Any] = {}
    for name, figure in figures.items():
        _set(medians, name.split("."), figure.median)
        _set(spreads, name.split("."), [figure.low, figure.high])
    return medians | {"spread": spreads}


def _reached(figure: Figure, goal: str) -> bool:
    if math.isnan(figure.median):
        return True  # nothing was measured
    comparison, _, limit = goal.partition(" ")
    return {"": True, ">=": figure.median >= float(limit or 0), "<=": figure.median <= float(limit or 0)}[comparison]


def _written(value: float, form: str) -> str:
    if math.isnan(value):
        return "–"
    return f"{value / 1e9:.2f}" if form == "giga" else f"{value:{form}}"


def _set(target: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        target = target.setdefault(key, {})
    target[path[-1]] = value
