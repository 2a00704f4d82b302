"""What a run costs beside its time, for comparisons."""

import logging
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from segtrain import machine
from segtrain.models.costs import stage_costs

_log = logging.getLogger(__name__)


def forget_peak_memory() -> None:
    """Has the peak memory of `run_costs` begin anew: a process may do one run after the other."""
    machine.forget_peak_memory()
    if tf.config.list_logical_devices("GPU"):
        tf.config.experimental.reset_memory_stats("GPU:0")


def run_costs(model: keras.Model, image_size: Sequence[int] | None) -> dict[str, Any]:
    """Returns the costs of a run as plain values.

    Args:
        model: the network.
        image_size: `(height, width)` that it sees; None where images have sizes of their own.

    Returns:
        `flops_per_image` of a forward pass, see `segtrain.models.costs.Stage`, None where there is no one size; and
        `peak_memory_bytes`, what the first GPU has held at most, or without one this process with all that is in it.
    """
    gpus = tf.config.list_logical_devices("GPU")
    return {
        "flops_per_image": _flops(model, image_size) if image_size else None,
        "peak_memory_bytes": tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpus else machine.peak_memory(),
    }


def _flops(model: keras.Model, image_size: Sequence[int]) -> int | None:
    try:
        return sum(stage.flops for stage in stage_costs(model, tuple(image_size)))
    except Exception:  # of a network of the user's own; its training is worth more than this number
        _log.warning("%s: floating-point operations are not counted", model.name, exc_info=True)
        return None
