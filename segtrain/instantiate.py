"""Turns an option of the config into the object it describes."""

import inspect
import re
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
        except InstantiationException as error:
            place = re.search(r"full_key: (\S+)", str(error))
            where = f"{place[1]}: " if place else ""
            raise ValueError(f"{option['_target_']}: {where}{_told(error.__cause__ or error)}") from error
        signature = inspect.signature(call.func)
        taken = {name: value for name, value in given.items() if name in signature.parameters}
        try:
            signature.bind(*call.args, **{**call.keywords, **taken})
        except TypeError as error:
            raise ValueError(f"{option['_target_']}: {error}") from error
        return call(**taken)


def _told(error: BaseException) -> str:
    """Returns an error on one line, without pydantic's pointer to its own manual."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and not line.startswith("For further information"))
