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
        callbacks: callbacks whose state to keep, by class name; a second one of a class is "EarlyStopping 2".
    """
    arrays = {f"variable_{number}": _to_numpy(variable) for number, variable in enumerate(_variables(model))}
    of_callbacks: dict[str, dict[str, Any]] = {}
    for callback in callbacks:
        name = type(callback).__name__
        number = sum(key.partition(" ")[0] == name for key in of_callbacks) + 1
        kept = {key: getattr(callback, key) for key in CALLBACK_STATE if hasattr(callback, key)}
        of_callbacks[name if number == 1 else f"{name} {number}"] = kept
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
        values = [arrays[f"variable_{number}"] for number in range(len(arrays.files) - 1)]
        if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
            raise ValueError(
                f"{path} holds {len(values)} variables that do not fit the model and its optimizer, which have "
                f"{len(variables)}. It belongs to another model or optimizer."
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return json.loads(str(arrays["position"]))


def _variables(model):
    return [*model.variables, *model.optimizer.variables]


def _to_numpy(variable):
    return keras.ops.convert_to_numpy(variable)
