"""Everything needed to go on with a run, in one file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segtrain.run_folder import written_whole

# What a callback knows that decides what it does next. Its other attributes are settings, which come from the config.
CALLBACK_STATE = ("best", "best_epoch", "wait", "cooldown_counter", "stopped_epoch")


def save_state(
    path: Path, model: keras.Model, *, epochs_done: int, callbacks: Sequence[keras.callbacks.Callback]
) -> None:
    """Writes weights, random state of the layers, optimizer state, position and callback state to one `.npz` file.

    One file, so weights and position can never disagree. `model.variables` holds dropout's random state, which no
    Keras file format does.

    Args:
        path: the file, replaced as a whole.
        model: the model, with its optimizer.
        epochs_done: complete epochs.
        callbacks: callbacks whose state to keep, by class name.
    """
    arrays = {f"variable_{number}": _to_numpy(variable) for number, variable in enumerate(_variables(model))}
    of_callbacks = {
        type(callback).__name__: {name: getattr(callback, name) for name in CALLBACK_STATE if hasattr(callback, name)}
        for callback in callbacks
    }
    position = {"epochs_done": epochs_done, "callbacks": of_callbacks}
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, position=json.dumps(position, default=float), **arrays)


def load_state(path: Path, model: keras.Model) -> dict[str, Any]:
    """Puts a saved state into a model and its optimizer, both built alike.

    Returns:
        `epochs_done` and `callbacks`, the state by class name.

    Raises:
        ValueError: the file holds another network's variables.
    """
    with np.load(path, allow_pickle=False) as arrays:
        variables = _variables(model)
        if len(arrays.files) - 1 != len(variables):
            raise ValueError(
                f"{path} holds {len(arrays.files) - 1} variables; the model and its optimizer have {len(variables)}. "
                "It belongs to another model or optimizer."
            )
        for number, variable in enumerate(variables):
            variable.assign(arrays[f"variable_{number}"])
        return json.loads(str(arrays["position"]))


def _variables(model):
    return [*model.variables, *model.optimizer.variables]


def _to_numpy(variable):
    return keras.ops.convert_to_numpy(variable)
