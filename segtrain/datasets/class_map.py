"""Reads `dataset.classes` where it is a map: which values or colours in a mask are which class."""

from collections.abc import Mapping
from typing import Any

from segtrain.datasets.mask_coding import VOID_NAME, MaskChoice, Value, map_items
from segtrain.datasets.typed_values import typed


def read_class_map(mask: MaskChoice, classes: Mapping[str, Any], ignore_label: int) -> dict[Value, int]:
    """Returns the label of each value and colour in a map of class names.

    Args:
        mask: what masks hold: values (`ids`), colours (`rgb`), or indices and colours of a palette (`palette`).
        classes: by name a value or a list of values, a colour or a list of colours. Labels are the order of the names,
            without `void`.
        ignore_label: the label of `void`.

    Raises:
        ValueError: a class has what `mask` cannot hold, or two have the same.
    """
    labels: dict[Value, int] = {}
    names: dict[Value, str] = {}
    class_id = 0
    for name, given in classes.items():
        keys = _keys(mask, name, given)
        for key in keys:
            if key in labels:
                raise ValueError(
                    f"dataset.classes: '{names[key]}' and '{name}' both have {typed(key)}. Take it out of one."
                )
            labels[key], names[key] = (ignore_label if name == VOID_NAME else class_id), name
        class_id += name != VOID_NAME
    return labels


def _keys(mask: MaskChoice, name: str, given: Any) -> list[Value]:
    """Returns the values or colours that a class has in the map."""
    items = map_items(given, colours=mask != "ids")
    allowed = {"ids": (_is_value,), "rgb": (_is_colour,), "palette": (_is_value, _is_colour)}[mask]
    if not items or not all(any(fits(item) for fits in allowed) for item in items):
        wanted = {
            "ids": "a value or a list of values, such as 7 or [7,8]",
            "rgb": "an RGB colour or a list of colours, such as [128,0,0] or [[128,0,0],[0,128,0]], of numbers 0..255",
            "palette": "a palette index, an RGB colour or a list of colours: 7, [128,0,0] or [[128,0,0],[0,128,0]] "
            "(three numbers are always a colour; where a class has several indices, list their colours)",
        }[mask]
        raise ValueError(
            f"dataset.classes: with dataset.mask={mask}, '{name}' needs {wanted}. Received: {typed(given)}."
        )
    return items


def _is_value(item: Any) -> bool:
    return isinstance(item, int)  # negative ones too: signed TIFFs have -1 for what is no class


def _is_colour(item: Any) -> bool:
    return (
        isinstance(item, list | tuple)
        and len(item) == 3
        and all(isinstance(number, int) and 0 <= number <= 255 for number in item)
    )
