"""Optimizers with the arguments that matter, typed and with their ranges."""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt


def build_adam(
    *,
    learning_rate: Annotated[float, Gt(0)] = 1e-3,
    beta_1: Annotated[float, Ge(0), Lt(1)] = 0.9,
    beta_2: Annotated[float, Ge(0), Lt(1)] = 0.999,
    epsilon: Annotated[float, Gt(0)] = 1e-7,
) -> keras.optimizers.Optimizer:
    """Returns Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""
    return keras.optimizers.Adam(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


def build_adamw(
    *,
    learning_rate: Annotated[float, Gt(0)] = 1e-3,
    weight_decay: Annotated[float, Ge(0)] = 1e-4,
    beta_1: Annotated[float, Ge(0), Lt(1)] = 0.9,
    beta_2: Annotated[float, Ge(0), Lt(1)] = 0.999,
    epsilon: Annotated[float, Gt(0)] = 1e-7,
) -> keras.optimizers.Optimizer:
    """Returns AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""
    return keras.optimizers.AdamW(
        learning_rate, weight_decay=weight_decay, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon
    )


def build_sgd(
    *,
    learning_rate: Annotated[float, Gt(0)] = 0.2,
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9,
    nesterov: bool = True,
    weight_decay: Annotated[float, Ge(0)] | None = None,
) -> keras.optimizers.Optimizer:
    """Returns stochastic gradient descent with momentum."""
    return keras.optimizers.SGD(learning_rate, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
