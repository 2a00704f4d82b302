"""The learning rate that follows the images of a step, where a run asks for it. Imports no TensorFlow."""

import math
from collections.abc import Mapping
from typing import Any

from segtrain.settings import TrainSettings


def scaled_learning_rate(settings: TrainSettings) -> float:
    """Returns the rate that the schedule starts from: `optimizer.learning_rate`, unless it is to follow the step.

    With `optimizer.reference_batch_size` the typed rate is that of steps of so many images. A step of k times as many
    has k times the rate (`linear`: Goyal et al. 2017, section 2.1, https://arxiv.org/abs/1706.02677), or the square
    root of k times (`sqrt`, for Adam and its kin: Malladi et al. 2022, https://arxiv.org/abs/2205.10287). A step's
    images are those of all devices and of all batches that it adds up: neither changes the rate of the same step.
    """
    rate, reference = settings.optimizer["learning_rate"], settings.optimizer.get("reference_batch_size")
    if reference is None:
        return rate
    times = settings.images_per_step / reference
    return rate * (math.sqrt(times) if rate_scaling(settings.optimizer) == "sqrt" else times)


def rate_scaling(optimizer: Mapping[str, Any]) -> str:
    """Returns how the rate follows; runs of before did not say."""
    return optimizer.get("rate_scaling", "linear")


def describe_scaling(settings: TrainSettings) -> str:
    """Returns in a line which learning rate a run has whose rate follows the images of a step."""
    optimizer = settings.optimizer
    return (
        f"learning rate {scaled_learning_rate(settings):g}: optimizer.learning_rate={optimizer['learning_rate']:g} is "
        f"that of {optimizer['reference_batch_size']} images a step, and a step has {settings.images_per_step} "
        f"(optimizer.rate_scaling={rate_scaling(optimizer)})"
    )
