"""Turns what a mask file holds into labels, as `dataset.mask` and `dataset.classes` say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segtrain.datasets.class_map import read_class_map
from segtrain.datasets.mask_coding import (
    VOID_NAME,
    Colour,
    MaskChoice,
    Suggestion,
    Value,
    ValueSummary,
    has_blended_edges,
    has_too_many_values,
    has_wide_gaps,
    packed,
    suggest_settings,
    summarise,
    unpacked,
)
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.problems import BadSampleError
from segtrain.datasets.typed_values import typed

# What `dataset.classes` takes: names by id, or each class's value, values, colour or colours by its name.
Classes = Sequence[str] | Mapping[str, Any] | None
_UNKNOWN = -1


class MasksDoNotFitError(ValueError):
    """The settings are right on their own, and the masks hold something else; `suggestion` says what fits."""

    def __init__(self, message: str, suggestion: Suggestion):
        super().__init__(message)
        self.suggestion = suggestion


@dataclass(frozen=True)
class MaskLabels:
    """How masks are read.

    Attributes:
        mask: `ids` (values are class ids, or as `label_of` says), `binary`, `palette` (`label_of` has indices or
            colours of a palette image), `rgb` (`label_of` has colours).
        class_names: names by class id.
        ignore_label: the label of void; under `ids` also the value that is void, if it is no class's.
        label_of: labels by value (int) or RGB colour (tuple); None where values are labels.
        class_map: `dataset.classes` where it is a map, for messages.
        seen: what a sample of the masks holds, for messages.
        is_settable: the dataset has settings `mask`, `classes` and `ignore_label`, which messages say to type.
    """

    mask: MaskChoice
    class_names: Sequence[str]
    ignore_label: int
    label_of: Mapping[Value, int] | None = None
    class_map: Mapping[str, Any] | None = None
    seen: ValueSummary = field(default_factory=ValueSummary)
    is_settable: bool = False

    @property
    def palette(self) -> list[Colour]:
        """A colour for each class: the masks' own where they have some, else Pascal VOC's."""
        colours: dict[int, Colour] = {}
        for value, label in (self.label_of or {}).items():
            if isinstance(value, int) and self.mask == "palette" and value < len(self.seen.palette or ()):
                value = self.seen.palette[value]
            if not isinstance(value, int):
                colours.setdefault(label, value)
        count = len(self.class_names)
        known = [colours[class_id] for class_id in range(count) if class_id in colours]
        return known if len(known) == count else voc_palette(count)

    def labels(self, pixels: np.ndarray, palette: np.ndarray | None, source: str) -> np.ndarray:
        """Returns the labels of a mask as `read_mask` returns it, uint8 `(height, width)`.

        Raises:
            BadSampleError: the mask is of another kind than `mask`, or holds a value or colour that has no label; names
                `source`, the value and its pixel, and says what the masks look like and what to type.
        """
        self._require_kind(pixels, palette, source)
        if self.label_of is None:
            labels = pixels
            wrong = (pixels >= len(self.class_names)) | (pixels < 0)
            wrong &= pixels != self.ignore_label
        else:
            labels = self._looked_up(pixels, palette)
            wrong = labels == _UNKNOWN
        if wrong.any():
            raise BadSampleError("wrong_label", f"{source}: {self._told_wrong(pixels, palette, wrong)}")
        return labels.astype(np.uint8)

    def _require_kind(self, pixels: np.ndarray, palette: np.ndarray | None, source: str) -> None:
        has_colours = pixels.ndim == 3
        if self.mask == "rgb" or (not has_colours and (self.mask != "palette" or palette is not None)):
            return
        wanted = {
            "ids": "one id per pixel (a grey or palette image)",
            "binary": "two grey values",
            "palette": "palette images",
        }[self.mask]
        has = f"RGB{'A' if pixels.shape[2] == 4 else ''} colours" if has_colours else "grey values"
        asked = f"dataset.mask={self.mask} asks for {wanted}" if self.is_settable else f"{wanted} is needed"
        if has_colours and self.seen.values:
            advice = "Other masks hold single values; save this one as they are."
        else:
            advice = self._advice(summarise(pixels, palette) + self.seen)
        raise BadSampleError("wrong_label", f"{source}: holds {has}, where {asked}. {advice}")

    def _looked_up(self, pixels: np.ndarray, palette: np.ndarray | None) -> np.ndarray:
        """Returns the label of each pixel as int16, or `_UNKNOWN`."""
        if pixels.ndim == 3:
            return _look_up(packed(pixels), {_packed(key): label for key, label in self.label_of.items()})
        by_value = {key: label for key, label in self.label_of.items() if isinstance(key, int)}
        if self.mask == "rgb":  # a palette image shows colours, and a grey one may be what an encoder made of RGB
            table = np.arange(256)[:, None].repeat(3, axis=1) if palette is None else palette
            by_value = self._by_colour(table)
        elif self.mask == "palette":
            by_value = self._by_colour(palette) | by_value
        elif self.mask == "ids":
            by_value = {self.ignore_label: self.ignore_label} | by_value
        elif not by_value:  # binary, of which nothing but 0 has been seen: what else there is, is the object
            by_value = {0: 0} | dict.fromkeys(np.unique(pixels[pixels > 0])[:1].tolist(), 1)
        return _look_up(pixels, by_value)

    def _by_colour(self, table: np.ndarray) -> dict[int, int]:
        known = {_packed(key): label for key, label in self.label_of.items() if not isinstance(key, int)}
        return {index: known[colour] for index, colour in enumerate(packed(table).tolist()) if colour in known}

    def _told_wrong(self, pixels: np.ndarray, palette: np.ndarray | None, wrong: np.ndarray) -> str:
        row, column = (int(place) for place in np.argwhere(wrong)[0])
        noun, first = "label" if self.label_of is None else "value", pixels[row, column]
        if pixels.ndim == 3:
            noun, first = "colour", typed(unpacked(packed(first)))
            others = [typed(unpacked(value)) for value in np.unique(packed(pixels)[wrong])[:8]]
        else:
            others = [str(value) for value in np.unique(pixels[wrong])[:8]]
        if self.mask in ("palette", "rgb") and palette is not None:
            colour = typed(palette[first].tolist()) if first < len(palette) else "outside of the palette"
            noun, first = "palette index", f"{first} ({colour})"
        return (
            f"{noun} {first} at row {row}, column {column}. {self._allowed()} "
            f"{'Colours' if pixels.ndim == 3 else 'Values'} outside in this mask: {', '.join(others)}. "
            + self._advice(summarise(pixels, palette) + self.seen)
        )

    def _allowed(self) -> str:
        if self.label_of is None:
            count = len(self.class_names)
            return f"Labels have to be 0..{count - 1} ({count} classes) or {self.ignore_label} (void)."
        if self.mask == "binary":
            known = ", ".join(map(str, sorted(self.label_of))) or "0 and one other"
            return (
                f"dataset.mask=binary takes two values; here they are {known}. A third one is often an edge that was "
                "blended (anti-aliased): export without smoothing."
            )
        return f"dataset.classes gives it to none of: {', '.join(self.class_names)}."

    def _advice(self, summary: ValueSummary) -> str:
        if not self.is_settable:
            return "Correct the mask."
        suggestion = suggest_settings(
            summary,
            mask=self.mask,
            class_names=None if self.mask == "binary" else self.class_names,
            class_map=self.class_map,
            ignore_label=self.ignore_label,
        )
        return suggestion.advice + (", or correct the mask." if suggestion.settings else " Correct the mask.")


def mask_labels(mask: MaskChoice, classes: Classes, ignore_label: int, seen: ValueSummary) -> MaskLabels:
    """Returns how masks are read.

    Args:
        mask: what they hold.
        classes: names by id, or a map of names to values or colours; None takes what `seen` has, where it is ids, and
            "background" and "object" where `mask` is binary.
        ignore_label: the label of void.
        seen: what a sample of the masks holds; all of them, where `may_be_rare_classes`.

    Raises:
        ValueError: settings that do not go together, or that plainly do not fit what has been seen; says what to type.
    """
    if isinstance(classes, Mapping):
        if mask == "binary":
            raise ValueError(
                "dataset.mask=binary takes two names: dataset.classes=[background,object]. With a map of values type "
                "dataset.mask=ids."
            )
        label_of = read_class_map(mask, classes, ignore_label)
        names = [name for name in classes if name != VOID_NAME]
        if ignore_label < len(names):
            raise ValueError(
                f"dataset.ignore_label={ignore_label} is the id of '{names[ignore_label]}' in the map dataset.classes. "
                f"Leave dataset.ignore_label out, and name the value that is void in the map: {VOID_NAME}:"
                f"{ignore_label}."
            )
        return MaskLabels(mask, names, ignore_label, label_of, classes, seen, is_settable=True)
    if VOID_NAME in (classes or ()):
        raise ValueError(
            f"dataset.classes={typed(classes)}: '{VOID_NAME}' is for what is no class, and in a list it would be one. "
            f"Take it out, and type dataset.ignore_label=VALUE with its value in the masks; or a map of each name to "
            f"its value: {{road:1,car:7,{VOID_NAME}:0}}."
        )
    if mask == "binary":
        return MaskLabels(mask, _two_names(classes), ignore_label, _binary(seen), seen=seen, is_settable=True)
    _require_fit(mask, classes, ignore_label, seen)
    if classes is None:
        highest = max(value for value in seen.values if value != ignore_label)
        classes = [f"class_{class_id}" for class_id in range(highest + 1)]
    by_index = {class_id: class_id for class_id in range(len(classes))} | {ignore_label: ignore_label}
    return MaskLabels(mask, classes, ignore_label, by_index if mask == "palette" else None, seen=seen, is_settable=True)


def may_be_rare_classes(mask: MaskChoice, classes: Classes, ignore_label: int, seen: ValueSummary) -> bool:
    """Says whether a sample of masks with 0 and void alone leaves open if the other classes are in none or in a few."""
    names_ids = mask in ("ids", "palette") and classes is not None and not isinstance(classes, Mapping)
    return names_ids and not seen.colours and set(seen.values) == {0, ignore_label}


def _require_fit(mask: MaskChoice, classes: Sequence[str] | None, ignore_label: int, seen: ValueSummary) -> None:
    """Refuses a list of classes, or none, where masks hold something whose meaning these cannot tell."""
    suggestion = suggest_settings(seen, mask=mask, class_names=classes, ignore_label=ignore_label)
    ids = [value for value in seen.values if value != ignore_label]
    if seen.masks == 0:
        if classes is None:
            raise ValueError(
                "The training split has no mask to take the classes from. Put images and masks into it, or type "
                "dataset.classes=[background,object]."
            )
        why = ""
    elif mask == "rgb" or (mask == "palette" and classes is None):
        why = "nothing says which colour is which class"
    elif seen.colours:  # where only some hold colours, each is refused by its name
        why = "" if seen.values else "masks have to hold an id per pixel"
    elif set(seen.values) == {0, ignore_label}:
        why = f"0 is the first class and {ignore_label} is void, so there is nothing to tell apart"
    elif classes is None and (has_blended_edges(seen) or has_too_many_values(seen)):
        why = "the ids have to be 0..highest, and these are no ids"
    elif classes is None and 0 <= ignore_label < max(ids, default=-1):
        why = f"dataset.ignore_label={ignore_label} lies among the ids, which would be the classes"
    elif classes is None and (not ids or ids == [0] or ids[0] != 0 or ids[-1] > 254 or has_wide_gaps(ids)):
        why = "the ids have to be 0..highest, with few gaps (a list of names, one for each id, may have more)"
    else:
        why = ""
    if why:
        message = f"With dataset.mask={mask} and dataset.classes={typed(classes)}, {why}. {suggestion.advice}"
        raise MasksDoNotFitError(message, suggestion)


def _two_names(classes: Sequence[str] | None) -> Sequence[str]:
    if classes is not None and len(classes) != 2:
        raise ValueError(
            f"dataset.mask=binary has two classes. Received: dataset.classes={typed(classes)}. Type two names, "
            "that of 0 first: dataset.classes=[background,object]."
        )
    return classes or ["background", "object"]


def _binary(seen: ValueSummary) -> dict[Value, int]:
    others = sorted((value for value in seen.values if value != 0), key=lambda value: -seen.pixels[value])
    # Of several, the most frequent: a mask with another one is refused by its name.
    return {0: 0, others[0]: 1} if others else {}


def _packed(key: Value) -> int:
    return key if isinstance(key, int) else int(packed(np.array(key)))


def _look_up(values: np.ndarray, label_of: Mapping[int, int]) -> np.ndarray:
    """Returns the label of each value, int16 of the same shape; `_UNKNOWN` where it has none."""
    if not label_of:
        return np.full(values.shape, _UNKNOWN, np.int16)
    if values.dtype == np.uint8:
        table = np.full(256, _UNKNOWN, np.int16)
        for value, label in label_of.items():
            if 0 <= value < len(table):
                table[value] = label
        return table[values]
    keys = np.array(sorted(label_of))
    labels = np.array([label_of[key] for key in keys.tolist()], np.int16)
    places = np.searchsorted(keys, values).clip(max=len(keys) - 1)
    return np.where(keys[places] == values, labels[places], np.int16(_UNKNOWN))
