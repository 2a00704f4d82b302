"""The average of the weights that an optimizer with `use_ema` keeps: what is scored and saved in their place."""

import contextlib
from collections.abc import Iterator

import keras

from segtrain.training.state import TrainingState


@contextlib.contextmanager
def average_in_place(state: TrainingState, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Has the model compute with the average inside a `with` statement, and with the weights of training after it.

    These come back to the bit, and a state that is saved meanwhile holds them. BatchNorm's running averages stay what
    they are. Where there is no average, nothing happens.

    Args:
        state: its model has the weights.
        optimizer: what trains them.
    """
    if not _has_average(optimizer):
        yield
        return
    variables = state.model.trainable_variables
    state.set_aside = {id(variable): keras.ops.convert_to_numpy(variable) for variable in variables}
    try:
        optimizer.finalize_variable_values(variables)
        yield
    finally:
        for variable in variables:
            variable.assign(state.set_aside[id(variable)])
        state.set_aside = {}


def leave_average(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Gives the model the average for good, if there is one."""
    if _has_average(optimizer):
        optimizer.finalize_variable_values(model.trainable_variables)


def _has_average(optimizer):
    # Before the first step, which a scaled loss may leave out, the average is zero.
    is_kept = getattr(optimizer, "inner_optimizer", optimizer).use_ema
    return is_kept and int(keras.ops.convert_to_numpy(optimizer.iterations)) > 0
