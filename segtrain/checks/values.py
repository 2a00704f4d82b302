"""Whether a value is what a type annotation says, and in words what it has to be."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import pydantic
from annotated_types import Len

from segtrain.config_error import ConfigError, shown, suggest


def check_value(where: str, value: Any, expected: Any) -> None:
    """Checks a value against a type.

    Args:
        where: the dotted name of the setting.
        value: as a config has it: plain.
        expected: an annotation.

    Raises:
        ConfigError: what it has to be, in a line.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}={shown(value)}: has to be a finite number.")
    try:
        # In JSON mode a list may be a tuple and an int a float, but "3" is no number, and true is none either.
        pydantic.TypeAdapter(expected).validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        # A union reports each of its members; those that came furthest are what was meant.
        deepest = max(len(item["loc"]) for item in error.errors())
        details = [item for item in error.errors() if len(item["loc"]) == deepest]
        detail = max(details, key=lambda item: (item["type"] in _RANGE_ERRORS, item["type"] != "none_required"))
        raise ConfigError(f"{where}={shown(value)}: {_worded(detail, details, value, expected)}") from None


_RANGE_ERRORS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "too_long", "too_short"}
_NOUNS = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list, such as [a,b]",
    "dict_type": "settings (key: value)",
    "none_required": "null",
    "callable_type": "an option, with a _target_",
}


def _worded(detail: Mapping[str, Any], details: list, value: Any, expected: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "literal_error":
        choices, others = _choices(detail), _nouns(details, expected, but=("literal_error", "none_required"))
        nearest = suggest(str(detail["input"]), choices.replace(" or ", ", ").split(", "))
        return f"has to be {', or '.join([choices, *others])}.{nearest}"
    if kind == "missing":
        return f"has to be a list of {len(get_args(expected))} values. Received {len(value)}."
    if kind in ("too_long", "too_short"):
        length = context.get("max_length", context.get("min_length"))
        at_least = "at least " if len(value) < length and _has_no_longest(expected) else ""
        return f"has to be a list of {at_least}{length} values. Received {context['actual_length']}."
    if kind in _RANGE_ERRORS:
        others = _nouns(details, expected, but=(*_RANGE_ERRORS, "none_required"))
        return ", or ".join([detail["msg"].replace("Input should be", "has to be"), *others]) + "."
    return f"has to be {' or '.join(_nouns(details, expected))}. Received {type(value).__name__}."


def _nouns(details: Iterable[Mapping[str, Any]], expected: Any, but: Sequence[str] = ()) -> list[str]:
    """Returns what the value could be in place of what it is, each once."""
    return list(dict.fromkeys(_noun(item, expected) for item in details if item["type"] not in but))


def _noun(detail: Mapping[str, Any], expected: Any) -> str:
    if detail["type"] == "list_type":
        example = next((value for value in _literals(expected)), "a,b")
        return f"a list, such as [{example}]"
    return _NOUNS.get(detail["type"]) or _choices(detail)


def _literals(expected: Any) -> Iterator[Any]:
    """Yields the values of the first choice that a type holds."""
    for inner in get_args(expected):
        yield from get_args(expected) if get_origin(expected) is Literal else _literals(inner)


def _has_no_longest(expected: Any) -> bool:
    return any(isinstance(each, Len) and each.max_length is None for each in get_args(expected))


def _choices(detail: Mapping[str, Any]) -> str:
    is_choice = detail["type"] == "literal_error"
    return detail["ctx"]["expected"].replace("'", "") if is_choice else detail["msg"]
