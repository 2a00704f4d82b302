"""Everything needed to go on with a run, in one file."""

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segtrain.run_folder import written_whole

# What a callback knows that decides what it does next. Its other attributes are settings, which come from the config,
# and decide whether what it knows is still about the same thing. One of your own may name others in `kept`.
KEPT_OF_CALLBACKS = ("best", "best_epoch", "wait", "cooldown_counter", "stopped_epoch")
WHAT_IS_WATCHED = ("monitor", "mode")


@dataclass
class EpochTiming:
    """How long the steps of an epoch took, in all processes that had a part in it.

    Attributes:
        whole: seconds of all steps.
        steps: those that count for rates.
        seconds: what these took.
        waited: what of it was waiting for batches.
    """

    whole: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def rates(self, steps: int, batch_size: int) -> dict[str, float]:
        """Returns images_per_second and data_wait of an epoch of so many steps."""
        steps, seconds = (self.steps, self.seconds) if self.steps else (steps, self.whole)
        return {"images_per_second": steps * batch_size / seconds, "data_wait": self.waited / seconds}


@dataclass
class TrainingState:
    """All that training is made of. The loop keeps it up to date; `save_state` and `load_state` are its way to disk.

    Attributes:
        model: the model, with its optimizer.
        tally: tf.Variables that the training steps of an epoch are added up in.
        callbacks: those whose state to keep.
        epoch: complete epochs.
        step: steps of the next epoch that are done; all of them where only its validation is to come.
        history: the log of each complete epoch, with `epoch` from 1.
        timing: how long the epoch has taken so far.
        kept: what callbacks knew when the state was saved.
        set_aside: weights of training, by the `id` of their variable, while something else is in their place.
    """

    model: keras.Model
    tally: Sequence[tf.Variable] = ()
    callbacks: Sequence[keras.callbacks.Callback] = ()
    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    timing: EpochTiming = field(default_factory=EpochTiming)
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    set_aside: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Whether nothing has been trained yet."""
        return self.epoch == self.step == 0

    def complete_step(self, seconds: float, waited: float, *, is_timed: bool) -> None:
        """Counts a step, and the time since the one before it."""
        self.step += 1
        self.timing.whole += seconds
        if is_timed:
            self.timing.steps += 1
            self.timing.seconds += seconds
            self.timing.waited += waited

    def complete_epoch(self, logs: dict[str, float]) -> None:
        """Counts an epoch, whose validation is done."""
        self.epoch, self.step = self.epoch + 1, 0
        self.history.append({"epoch": self.epoch, **logs})
        self.timing = EpochTiming()

    def restore_callbacks(self) -> None:
        """Gives the callbacks what `load_state` has read for them: after on_train_begin, where Keras' own forget it."""
        for name, callback in _by_name(self.callbacks).items():
            values = self.kept.get(name, {})
            if all(values.get(key) == getattr(callback, key, None) for key in WHAT_IS_WATCHED):
                for key in _kept_of(callback):
                    if key in values:
                        setattr(callback, key, values[key])


def save_state(path: Path, state: TrainingState) -> None:
    """Writes weights, random state of the layers, optimizer, tally, position and callbacks to one `.npz` file.

    One file, so weights and position can never disagree. `model.variables` holds dropout's random state, which no
    Keras file format does.

    Args:
        path: the file, replaced as a whole.
        state: what to write. Of callbacks it is what decides, by class name; a second one of a class is
            "EarlyStopping 2".
    """
    # A signal may come while a graph is built, in which no variable has a value.
    with tf.init_scope():
        arrays = {
            f"variable_{number}": state.set_aside[id(each)] if id(each) in state.set_aside else _to_numpy(each)
            for number, each in enumerate(_variables(state.model))
        }
        arrays |= {f"tally_{number}": _local(each).numpy()[None] for number, each in enumerate(state.tally)}
    facts = {
        "epoch": state.epoch,
        "step": state.step,
        "history": state.history,
        "timing": dataclasses.asdict(state.timing),
        "stopped": bool(getattr(state.model, "stop_training", False)),
        "callbacks": {
            name: {key: getattr(callback, key, None) for key in (*WHAT_IS_WATCHED, *_kept_of(callback))}
            for name, callback in _by_name(state.callbacks).items()
        },
    }
    num_bytes = sum(array.nbytes for array in arrays.values())
    with written_whole(path, num_bytes) as temporary, temporary.open("wb") as file:
        np.savez(file, facts=json.dumps(facts, default=_plain), **arrays)


def load_state(path: Path, state: TrainingState) -> None:
    """Puts what `save_state` wrote into a state whose model and optimizer are built alike.

    Callbacks get theirs by `state.restore_callbacks()`.

    Raises:
        ValueError: the file is damaged, or holds another network's variables; nothing has been changed then.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(str(arrays.pop("facts")))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}). Remove it; the state before it will be used.") from error
    variables = _variables(state.model)
    values, tally = (
        [arrays[f"{kind}_{number}"] for number in range(sum(name.startswith(kind) for name in arrays))]
        for kind in ("variable", "tally")
    )
    if [np.shape(value) for value in values] != [tuple(variable.shape) for variable in variables]:
        raise ValueError(
            f"{path} holds {len(values)} variables that do not fit the model and its optimizer, which have "
            f"{len(variables)}. It belongs to another model or optimizer."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    for variable, value in zip(state.tally, tally, strict=False):
        for part in _parts(variable):
            part.assign(value.sum(axis=0))  # files of older versions hold a share of each replica
    state.epoch, state.step, state.history = facts["epoch"], facts["step"], facts["history"]
    state.timing, state.kept = EpochTiming(**facts["timing"]), facts["callbacks"]
    state.model.stop_training = facts["stopped"]


def _variables(model):
    return [*model.variables, *model.optimizer.variables]


def _by_name(callbacks):
    named: dict[str, keras.callbacks.Callback] = {}
    for callback in callbacks:
        name = type(callback).__name__
        number = sum(key.partition(" ")[0] == name for key in named) + 1
        named[name if number == 1 else f"{name} {number}"] = callback
    return named


def _kept_of(callback):
    return [key for key in (*KEPT_OF_CALLBACKS, *getattr(callback, "kept", ())) if hasattr(callback, key)]


def _to_numpy(variable):
    return keras.ops.convert_to_numpy(variable)


def _plain(value):
    return value.item() if isinstance(value, np.generic) else float(value)


def _parts(variable):
    """Returns the variables of the replicas that a distributed one is made of; it alone where it is not distributed."""
    return getattr(variable, "values", None) or [variable]


def _local(variable):
    """Returns one of them: each replica has the sum over all."""
    return _parts(variable)[0]
