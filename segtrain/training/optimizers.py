"""Optimizers with the arguments that matter, typed and with their ranges.

`global_clipnorm` is the norm that the gradient of all weights together is cut down to where it is longer. With
`use_ema` an average of the weights is kept, of which each step leaves `ema_momentum`: it is what is scored and saved.
"""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt


def build_adam(
    *,
    learning_rate: Annotated[float, Gt(0)] = 1e-3,
    beta_1: Annotated[float, Ge(0), Lt(1)] = 0.9,
    beta_2: Annotated[float, Ge(0), Lt(1)] = 0.999,
    epsilon: Annotated[float, Gt(0)] = 1e-7,
    global_clipnorm: Annotated[float, Gt(0)] | None = None,
    use_ema: bool = False,
    ema_momentum: Annotated[float, Ge(0), Lt(1)] = 0.99,
) -> keras.optimizers.Optimizer:
    """Returns Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""
    return keras.optimizers.Adam(
        learning_rate,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        global_clipnorm=global_clipnorm,
        use_ema=use_ema,
        ema_momentum=ema_momentum,
    )


def build_adamw(
    *,
    learning_rate: Annotated[float, Gt(0)] = 1e-3,
    weight_decay: Annotated[float, Ge(0)] = 1e-4,
    beta_1: Annotated[float, Ge(0), Lt(1)] = 0.9,
    beta_2: Annotated[float, Ge(0), Lt(1)] = 0.999,
    epsilon: Annotated[float, Gt(0)] = 1e-7,
    global_clipnorm: Annotated[float, Gt(0)] | None = None,
    use_ema: bool = False,
    ema_momentum: Annotated[float, Ge(0), Lt(1)] = 0.99,
) -> keras.optimizers.Optimizer:
    """Returns AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""
    return keras.optimizers.AdamW(
        learning_rate,
        weight_decay=weight_decay,
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        global_clipnorm=global_clipnorm,
        use_ema=use_ema,
        ema_momentum=ema_momentum,
    )


def build_sgd(
    *,
    learning_rate: Annotated[float, Gt(0)] = 0.2,
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9,
    nesterov: bool = True,
    weight_decay: Annotated[float, Ge(0)] | None = None,
    global_clipnorm: Annotated[float, Gt(0)] | None = None,
    use_ema: bool = False,
    ema_momentum: Annotated[float, Ge(0), Lt(1)] = 0.99,
) -> keras.optimizers.Optimizer:
    """Returns stochastic gradient descent with momentum."""
    return keras.optimizers.SGD(
        learning_rate,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        global_clipnorm=global_clipnorm,
        use_ema=use_ema,
        ema_momentum=ema_momentum,
    )
