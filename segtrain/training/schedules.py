"""Learning rate over a run. Each `build_<name>` returns what a Keras optimizer takes as its learning rate."""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Le


def build_constant(*, learning_rate: float) -> float:
    """Returns the optimizer's learning rate as it is; the only choice that `callbacks.reduce_on_plateau` can change."""
    return float(learning_rate)  # Keras takes no whole number


def build_polynomial(
    *,
    learning_rate: float,
    steps_per_epoch: int,
    epochs: int,
    power: Annotated[float, Gt(0)] = 0.9,
    end_share: Annotated[float, Ge(0), Le(1)] = 0.0,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns `rate * (1 - step / steps) ** power`, the usual schedule of segmentation papers.

    Source: Chen et al. 2017, DeepLab, section 4.1, https://arxiv.org/abs/1606.00915.

    Args:
        learning_rate: the optimizer's.
        steps_per_epoch: steps of an epoch.
        epochs: epochs of the run.
        power: the exponent.
        end_share: where it ends, as a share of the learning rate.
    """
    return keras.optimizers.schedules.PolynomialDecay(
        learning_rate, steps_per_epoch * epochs, end_learning_rate=end_share * learning_rate, power=power
    )


def build_cosine(
    *,
    learning_rate: float,
    steps_per_epoch: int,
    epochs: int,
    warmup_epochs: Annotated[float, Ge(0)] = 1.0,
    end_share: Annotated[float, Ge(0), Le(1)] = 0.01,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a linear rise from zero, then half a cosine down.

    Source: Loshchilov and Hutter 2017, SGDR, equation 5, https://arxiv.org/abs/1608.03983.

    Args:
        learning_rate: the optimizer's, reached after the rise.
        steps_per_epoch: steps of an epoch.
        epochs: epochs of the run, the rise included.
        warmup_epochs: length of the rise; at most half the run is spent on it.
        end_share: where it ends, as a share of the learning rate.
    """
    steps = steps_per_epoch * epochs
    warmup_steps = min(round(warmup_epochs * steps_per_epoch), steps // 2)
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(learning_rate, steps, alpha=end_share)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup_steps, alpha=end_share, warmup_target=learning_rate, warmup_steps=warmup_steps
    )
