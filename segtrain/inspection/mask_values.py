"""What masks look like as they are stored, and the settings to paste for them."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import yaml

from segtrain.datasets.dataset import Split
from segtrain.datasets.file_pairs import FilePairs
from segtrain.datasets.mask_coding import Suggestion, ValueSummary, suggest_settings, summarise
from segtrain.datasets.problems import ProblemKind
from segtrain.pipeline.counting import count_values

VALUES_TOLD = 100
# Errors that other settings may mend.
MISREAD: set[ProblemKind] = {"wrong_label", "wrong_format"}


def look_at_mask(samples: Split, index: int) -> ValueSummary:
    """Returns what one mask's file holds; nothing where it cannot be read or there is no such file."""
    if not isinstance(samples, FilePairs):
        return ValueSummary()
    try:
        pixels, palette = samples.mask_pixels(index), samples.mask_palette(index)
    except Exception:  # whatever it is, it is told when the pair is read
        return ValueSummary()
    if pixels.ndim > 2 or pixels.dtype != np.uint8:
        return summarise(pixels, palette)
    # The same of 8-bit values, for most masks are of them, without sorting millions.
    counts = count_values(pixels)
    found = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    return ValueSummary(found, 1, None if palette is None else tuple(map(tuple, palette)))


def suggest_for(values: ValueSummary, option: Mapping[str, Any], ignore_label: int) -> Suggestion | None:
    """Returns what masks look like and which settings fit them; None where no file of a mask was read.

    Args:
        values: what all masks hold.
        option: the dataset's settings. One that has no `mask` and `classes` cannot be set otherwise.
        ignore_label: the dataset's void label.
    """
    if not values.pixels:
        return None
    if not {"mask", "classes"} <= set(option):
        return Suggestion(suggest_settings(values, ignore_label=ignore_label).looks_like, {})
    mask, classes = option["mask"], option["classes"]
    looks_like = suggest_settings(values, mask=mask, ignore_label=ignore_label).looks_like
    given = {"class_map": classes} if isinstance(classes, Mapping) else {"class_names": classes}
    settings = suggest_settings(values, mask=mask, **given, ignore_label=ignore_label).settings
    ids = [value for value in values.values if value != ignore_label]
    has_gaps = not values.colours and ids != list(range(len(ids)))
    if classes is None and mask == "ids" and has_gaps and not settings:
        # A few gaps are taken for classes that are there by name alone; who did not mean them names the others.
        settings = {"classes": {f"class_{value}": value for value in ids}}
    return Suggestion(looks_like, settings)


def may_be_misread(errors: Collection[ProblemKind], option: Mapping[str, Any]) -> bool:
    """Says whether other settings for the masks may mend some of the errors.

    Args:
        errors: their kinds.
        option: the dataset's settings. A class that they name is missed where it is absent; one that was made up from
            the masks may be none.
    """
    return bool((MISREAD if option.get("classes") else {*MISREAD, "absent_class"}) & set(errors))


def values_as_dict(values: ValueSummary, suggestion: Suggestion) -> dict[str, Any]:
    """Returns what masks look like as plain values: in words, and pixels by value or colour, most frequent first."""
    ordered = sorted(values.pixels.items(), key=lambda item: -item[1])
    return {
        "looks_like": suggestion.looks_like,
        "values": [
            {"value": value if isinstance(value, int) else list(value), "pixels": pixels}
            for value, pixels in ordered[:VALUES_TOLD]
        ],
        "more_values": max(0, len(ordered) - VALUES_TOLD),
    }


def suggestion_as_dict(suggestion: Suggestion) -> dict[str, Any]:
    """Returns the settings to paste: on the command line, one by one, and as YAML."""
    return {
        "typed": suggestion.typed,
        "overrides": suggestion.overrides,
        "yaml": yaml.safe_dump({"dataset": dict(suggestion.settings)}, sort_keys=False, default_flow_style=None),
    }
