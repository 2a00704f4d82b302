"""Turns an option of the config into the object it describes."""

import inspect
import warnings
from typing import Any

import hydra
from hydra.errors import InstantiationException

from segtrain.settings import Option


def build(option: Option, **given: Any) -> Any:
    """Calls an option's `_target_` with its settings, and with those of the run's facts that it has parameters for.

    Args:
        option: `_target_` and its arguments, plain values; nested options are built first.
        **given: what the run knows; see `segtrain.settings.GIVEN_BY_RUN`.

    Raises:
        ValueError: the target refuses its arguments.
    """
    with warnings.catch_warnings():
        # albumentations warns of an argument it does not know, and goes on without it.
        warnings.filterwarnings("error", message=r"Argument\(s\) .* not valid for transform")
        try:
            # Partial, because Hydra would otherwise try to make the given objects part of the config.
            call = hydra.utils.instantiate(option, _partial_=True, _convert_="all")
            taken = inspect.signature(call.func).parameters
            return call(**{name: value for name, value in given.items() if name in taken})
        except InstantiationException as error:
            cause = error.__cause__ or error
            raise ValueError(f"{option['_target_']}: {str(cause).splitlines()[0]}") from error
