"""Values of settings as they are typed on the command line, in Hydra's grammar."""

import re
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def typed(value: Any) -> str:
    """Returns a value as one types it behind the `=`: `7`, `[128,0,0]`, `{road:1,big car:[7,8]}`, `null`."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_as_key(str(name))}:{typed(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(typed, value)) + "]"
    if isinstance(value, str):
        return value if _means_itself(f"[{value}]", [value]) else _quoted(value)
    return str(value)


def can_be_typed(value: Any) -> bool:
    """Says whether Hydra reads what `typed` returns as the same value again.

    It has no way to write some keys: letters beyond ASCII, and words that mean something else, such as `null` and `1`.
    """
    return _means_itself(typed(value), _plain(value))


def _means_itself(text: str, value: Any) -> bool:
    if "${" in text:  # reads as it is, and is another setting's value from then on
        return False
    try:
        read = OverridesParser.create().parse_override(f"key={text}").value()
    except HydraException:
        return False
    return _with_types(_plain(read)) == _with_types(value)


def _plain(value: Any) -> Any:
    """Returns a value with lists for tuples and plain texts for Hydra's quoted ones."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _with_types(value: Any) -> str:
    return repr(value)  # True and 1 are equal, and not the same


def _as_key(name: str) -> str:
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", name) if re.search(r"[\\()\[\]{}:=,\t]|^ | $", name) else name


def _quoted(text: str) -> str:
    # A backslash means itself but in front of a quote, where it and those before it are written twice.
    return "'" + re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text) + "'"
