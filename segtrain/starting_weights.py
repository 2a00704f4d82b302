"""The weights that a model starts from: which settings name them, and whether they are read. Imports no TensorFlow."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtrain.config_error import ConfigError

# Each is imagenet, null (random), or a file.
WEIGHTS_SETTINGS = ("model.weights", "model.encoder.weights")


@dataclass(frozen=True)
class _Reading:
    is_on: bool = True
    tell: Callable[[str], Any] = warnings.warn


_reading = ContextVar("reading", default=_Reading())  # noqa: B039 - it is frozen


@contextlib.contextmanager
def reading_weights(is_on: bool, tell: Callable[[str], Any] = warnings.warn) -> Iterator[None]:
    """Has builders read the weights that are named, or build the same network without: a state will set them, say.

    Args:
        is_on: whether they are read. If not, neither file nor network is needed.
        tell: takes a line of what the user should know about them.
    """
    before = _reading.set(_Reading(is_on, tell))
    try:
        yield
    finally:
        _reading.reset(before)


def are_read() -> bool:
    """Says whether a builder reads weights here."""
    return _reading.get().is_on


def tell(line: str) -> None:
    """Tells the user about weights; outside of a run, as a warning."""
    _reading.get().tell(line)


def is_file_of_weights(weights: str | None) -> bool:
    """Says whether such a setting names a file."""
    return isinstance(weights, str) and weights != "imagenet"


def require_files_of_weights(model: Mapping[str, Any]) -> None:
    """Refuses a model's option that names a file which is not there.

    Raises:
        ConfigError: which, and what to type.
    """
    for setting in WEIGHTS_SETTINGS:
        value: Any = {"model": model}
        for key in setting.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        require_file_of_weights(setting, value)


def require_file_of_weights(setting: str, weights: str | None) -> None:
    """Refuses weights that are a file which is not there; see `require_files_of_weights`."""
    if is_file_of_weights(weights) and not Path(weights).expanduser().is_file():
        raise ConfigError(
            f"{setting}={weights}: there is no such file. Type {setting}=imagenet, null, or a file: .h5 or .weights.h5 "
            "of keras' network without its top, or the checkpoints/best.keras of a run on the same encoder."
        )
