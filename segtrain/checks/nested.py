"""Walks through settings that hold others."""

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each value that holds no others, with the dotted name of where it stands."""
    if not isinstance(value, Mapping | list):
        yield where, value
        return
    for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from leaves(inner, f"{where}.{key}".lstrip("."))


def entries(values: Any, where: str, key: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """Yields dotted name, key and value of everything in nested settings."""
    yield where, key, values
    items = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    for inner, value in items:
        yield from entries(value, f"{where}.{inner}", inner)
