"""What the values in mask files look like, and which settings fit them."""

import itertools
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import yaml

from segtrain.datasets.typed_values import can_be_typed, typed

Colour = tuple[int, int, int]
Value = int | Colour
MaskChoice = Literal["ids", "binary", "palette", "rgb"]

# More colours than this are no classes. A photo has a million; so many are kept to tell the two apart.
MOST_CLASSES = 100
MOST_COLOURS_KEPT = 2000
# The rim around objects in Pascal VOC's files and in those of the many who copied them.
VOC_VOID = (224, 224, 192)
# In a map of classes the name of what is no class: its values or colours become the void label.
VOID_NAME = "void"
# Labels have 8 bits, and one of them is void.
MOST_LABELS = 255


@dataclass(frozen=True)
class ValueSummary:
    """What some masks hold. Summaries of several masks add up (`sum(summaries, ValueSummary())`).

    Attributes:
        pixels: number of pixels by grey value or palette index (int), or by RGB colour (tuple of three).
        masks: number of masks.
        palette: RGB colours by index of the first palette mask among them; None where there is none.
    """

    pixels: Mapping[Value, int] = field(default_factory=dict)
    masks: int = 0
    palette: tuple[Colour, ...] | None = None

    def __add__(self, other: "ValueSummary") -> "ValueSummary":
        pixels = Counter(self.pixels)
        pixels.update(other.pixels)
        return ValueSummary(
            dict(pixels.most_common(MOST_COLOURS_KEPT)),
            self.masks + other.masks,
            other.palette if self.palette is None else self.palette,
        )

    @property
    def values(self) -> list[int]:
        """Grey values and palette indices seen, ascending."""
        return sorted(value for value in self.pixels if isinstance(value, int))

    @property
    def highest(self) -> Value | None:
        """The highest colour seen, or else value; None where nothing has been."""
        return max(self.colours or self.values, default=None)

    @property
    def colours(self) -> list[Colour]:
        """Colours seen, ascending."""
        return sorted(value for value in self.pixels if not isinstance(value, int))


def summarise(mask: np.ndarray, palette: Sequence[Colour] | np.ndarray | None = None) -> ValueSummary:
    """Returns what one mask holds.

    Args:
        mask: as stored: values `(height, width)`, or colours `(height, width, 3 or 4)`, of which a fourth, alpha, is
            left out. `FilePairs.mask_pixels` returns it.
        palette: RGB colours by index where the values are a palette image's; `FilePairs.mask_palette` returns it.
    """
    if mask.ndim == 2:
        values, counts = np.unique(mask, return_counts=True)
        pixels = dict(zip(values.tolist(), counts.tolist(), strict=True))
        return ValueSummary(pixels, 1, None if palette is None else tuple(map(tuple, np.asarray(palette).tolist())))
    values, counts = np.unique(packed(mask), return_counts=True)
    commonest = np.argsort(-counts, kind="stable")[:MOST_COLOURS_KEPT]
    colours = [unpacked(value) for value in values[commonest]]
    return ValueSummary(dict(zip(colours, counts[commonest].tolist(), strict=True)), 1)


def packed(colours: np.ndarray) -> np.ndarray:
    """Returns RGB colours `(..., 3 or more)` as one number each, int32 `(...)`."""
    red, green, blue = (colours[..., band].astype(np.int32) for band in range(3))
    return red << 16 | green << 8 | blue


def unpacked(value: int) -> Colour:
    """Returns the colour that `packed` made a number of."""
    return int(value) >> 16, int(value) >> 8 & 255, int(value) & 255


@dataclass(frozen=True)
class Suggestion:
    """What masks look like and what to set for them.

    Attributes:
        looks_like: what the masks hold, for the middle of a sentence: "grey values 0 and 255, ...".
        settings: settings of `dataset` to change, by name (`mask`, `classes`, `ignore_label`); empty where those there
            are fit, or where no setting helps and the masks have to be saved anew, which `looks_like` says then.
    """

    looks_like: str
    settings: Mapping[str, Any]

    @property
    def overrides(self) -> list[str]:
        """The settings as arguments of the command, such as `dataset.classes={road:1,car:7}`; without shell quotes.

        Empty too where there are names in them that Hydra's grammar cannot hold: those go into a YAML file.
        """
        if not all(map(can_be_typed, self.settings.values())):
            return []
        return [f"dataset.{name}={typed(value)}" for name, value in self.settings.items()]

    @property
    def typed(self) -> str:
        """The settings as one types them in a shell."""
        return shlex.join(self.overrides)

    @property
    def advice(self) -> str:
        """Sentences for the end of an error message: what the masks look like and what to type."""
        looks_like = f"The masks hold {self.looks_like}."
        if not self.settings:
            return looks_like
        if self.overrides:
            return f"{looks_like} Type {self.typed}"
        as_yaml = yaml.safe_dump(
            {"dataset": dict(self.settings)},
            default_flow_style=True,
            allow_unicode=True,
            sort_keys=False,
            width=float("inf"),
        )
        return f"{looks_like} Write into a YAML file, for these names cannot be typed: {as_yaml.strip()}"


def suggest_settings(
    summary: ValueSummary,
    *,
    mask: MaskChoice = "ids",
    class_names: Sequence[str] | None = None,
    class_map: Mapping[str, Any] | None = None,
    ignore_label: int = 255,
) -> Suggestion:
    """Returns what masks look like and the exact settings to paste for them; every message takes its wording from here.

    Args:
        summary: what masks hold; `summarise` of each, added up.
        mask: the current `dataset.mask`; it is named in the settings where another one is needed.
        class_names: names the user has given; taken for the map where their number is that of the values.
        class_map: the current `dataset.classes` where it is a map; what the masks hold beside it is added to it.
        ignore_label: the current `dataset.ignore_label`: that value is void and becomes no class.

    Returns:
        For example, for masks with
            grey values 0 and 255: `dataset.mask=binary`;
            values 1, 7: `dataset.classes={class_1:1,class_7:7}`;
            colours: `dataset.mask=rgb`, `dataset.classes={class_0:[0,0,0],class_1:[128,0,0]}`;
            ids 0..5 and 255: nothing to set.
    """
    if class_map is not None and not (summary.colours and (summary.values or mask == "ids")):
        suggestion = _for_more(summary, mask, class_map, ignore_label)
        return _with_void_no_class(suggestion, mask, summary, ignore_label)
    suggestion = (
        _for_colours(summary, class_names)
        if summary.colours
        else _for_palette(summary, class_names)
        if mask == "palette" and summary.palette is not None
        else _for_values(summary, class_names, ignore_label)
    )
    if mask == "binary" and "classes" in suggestion.settings and not summary.colours:
        return Suggestion(f"more than two values ({_listed(summary.values)})", {})
    settings = {name: value for name, value in suggestion.settings.items() if (name, value) != ("mask", mask)}
    return _with_void_no_class(Suggestion(suggestion.looks_like, settings), mask, summary, ignore_label)


def _with_void_no_class(
    suggestion: Suggestion, mask: MaskChoice, summary: ValueSummary, ignore_label: int
) -> Suggestion:
    """Moves the void label where the suggested classes have the id that it is now."""
    settings = dict(suggestion.settings)
    mask, classes = settings.get("mask", mask), settings.get("classes")
    count = 2 if mask == "binary" else len(classes.keys() - {VOID_NAME}) if isinstance(classes, Mapping) else 0
    if not settings or settings.get("ignore_label", ignore_label) >= count:
        return suggestion
    if mask == "ids" and ignore_label in summary.pixels:
        named = map_items(classes[VOID_NAME], colours=False) if VOID_NAME in classes else []
        is_class = any(ignore_label in map_items(given, colours=False) for given in classes.values())
        if not is_class:
            settings["classes"] = {**classes, VOID_NAME: [ignore_label, *named] if named else ignore_label}
    return Suggestion(suggestion.looks_like, settings | {"ignore_label": 255})


def _for_colours(summary: ValueSummary, class_names: Sequence[str] | None) -> Suggestion:
    colours = summary.colours
    if summary.values:
        return Suggestion(
            f"colours ({_listed(colours)}) in some files and single values ({_listed(summary.values)}) in others; save "
            "all in one way",
            {},
        )
    if len(colours) > MOST_CLASSES:
        commonest = sorted(colours, key=lambda colour: -summary.pixels[colour])[:8]
        return Suggestion(
            f"{len(colours)} colours or more, too many for classes: photos, or edges that are blended (anti-aliased) "
            f"or were saved as JPEG once. The commonest are {_listed(commonest)}. Export the masks anew, as PNG "
            "without smoothing",
            {},
        )
    return Suggestion(
        f"RGB colours ({_listed(colours)})", {"mask": "rgb", "classes": _colour_map(colours, class_names)}
    )


def _for_more(summary: ValueSummary, mask: MaskChoice, class_map: Mapping[str, Any], ignore_label: int) -> Suggestion:
    """Adds to a map what masks hold beside it."""
    known = {item for given in class_map.values() for item in map_items(given, colours=mask != "ids")}
    more: list[Value] = [value for value in summary.values if value not in known]
    settings: dict[str, Any] = {}
    if summary.colours:
        more, settings = [*summary.colours], {"mask": "rgb"} if mask == "palette" else {}
    elif mask != "ids":  # values stand for the palette's colours, and for greys where there is none
        table = summary.palette or [(value, value, value) for value in range(256)]
        more = [table[index] for index in more if index < len(table)]
    more = [value for value in dict.fromkeys(more) if value not in known and value != ignore_label]
    if len(more) + len(known) > MOST_CLASSES:
        return Suggestion(f"much that dataset.classes has not: {_listed(more)}", settings)
    if not more:
        return Suggestion("what dataset.classes has", settings)
    free = (f"class_{number}" for number in itertools.count(len(class_map)) if f"class_{number}" not in class_map)
    added = {name: value if isinstance(value, int) else list(value) for name, value in zip(free, more, strict=False)}
    return Suggestion(f"what dataset.classes has not: {_listed(more)}", settings | {"classes": {**class_map, **added}})


def map_items(given: Any, *, colours: bool) -> list[Value]:
    """Returns the values or colours of a class in a map, which has one or a list of them."""
    alone = not isinstance(given, list | tuple) or (colours and bool(given) and isinstance(given[0], int))
    items = [given] if alone else list(given)
    return [tuple(item) if isinstance(item, list | tuple) else item for item in items]


def _for_palette(summary: ValueSummary, class_names: Sequence[str] | None) -> Suggestion:
    """Words a palette's colours for a user who wants classes by colour."""
    used = [summary.palette[value] for value in summary.values if value < len(summary.palette)]
    return Suggestion(
        f"palette images ({_listed(used)})",
        {"mask": "palette", "classes": _colour_map(list(dict.fromkeys(used)), class_names)},
    )


def _for_values(summary: ValueSummary, class_names: Sequence[str] | None, ignore_label: int) -> Suggestion:
    values, kind = summary.values, "palette indices" if summary.palette is not None else "grey values"
    seen = f"{kind} {_listed(values)}"
    if len(values) < 2:
        return Suggestion(f"nothing but {seen}, so there is nothing to tell apart", {})
    if class_names is None and has_too_many_values(summary):
        return Suggestion(
            f"{len(values)} {kind}, too many to be taken for classes without names: photos, or edges that are blended "
            "(anti-aliased). Export the masks anew, as PNG without smoothing, or name the classes",
            {},
        )
    if has_blended_edges(summary):
        return Suggestion(
            f"{len(values)} {kind} from {values[0]} to {values[-1]}, most of them rare: edges that are blended "
            "(anti-aliased) or were saved as JPEG once. Export the masks anew, as PNG without smoothing",
            {},
        )
    if len(values) == 2 and values[0] == 0 and values != [0, 1]:
        return Suggestion(f"{seen}, as one object on background has them", {"mask": "binary"})
    # Void is 255 by custom, in files whose user was told of another label too.
    void = ignore_label if ignore_label in values or values[-1] != 255 else 255
    if class_names and values[:-1] == list(range(len(class_names))) and len(class_names) < values[-1] < 256:
        void = values[-1]  # the very next id may be a class that was forgotten
    classes = [value for value in values if value != void and value >= 0]
    below_0 = [value for value in values if value < 0]
    if len(classes) > MOST_LABELS:
        return Suggestion(f"{len(classes)} {kind}, of which {MOST_LABELS} can be classes", {})
    if len(classes) < 2:  # which is void and which is not cannot be known: both are named
        return Suggestion(f"{seen} alone", {"mask": "ids", "classes": _value_map(values, class_names)})
    no_class = below_0 + [void] * (void in values)
    and_void = f" and {_listed(no_class)} (void)" if no_class else ""
    is_range = classes == list(range(len(classes)))
    are_ids = is_range or (classes[0] == 0 and class_names is None and not has_wide_gaps(classes))
    if are_ids and not below_0 and classes[-1] < min(void, MOST_LABELS):
        return _for_ids(f"{kind} 0..{classes[-1]}{and_void}", classes[-1] + 1, void, class_names, ignore_label)
    from_one = " that start at 1" if classes == list(range(1, len(classes) + 1)) else ""
    gaps = " with gaps" if classes[-1] - classes[0] >= len(classes) else ""
    to_name = below_0 + [void] * (void not in (ignore_label, *classes))
    mapping = _value_map(classes, class_names)
    if to_name:
        mapping[VOID_NAME] = to_name if len(to_name) > 1 else to_name[0]
    return Suggestion(f"{kind} {_listed(classes)}{and_void}, ids{from_one}{gaps}", {"mask": "ids", "classes": mapping})


def _for_ids(
    looks_like: str, count: int, void: int, class_names: Sequence[str] | None, ignore_label: int
) -> Suggestion:
    settings: dict[str, Any] = {"mask": "ids"} | ({"ignore_label": void} if void != ignore_label else {})
    missing = count - len(class_names) if class_names is not None else 0
    if missing > 0:
        settings["classes"] = [*class_names, *(f"class_{value}" for value in range(len(class_names), count))]
    may_be_void = f" (if {count - 1} is void, type dataset.ignore_label={count - 1})" if missing == 1 else ""
    return Suggestion(f"{looks_like}, class ids{may_be_void}", settings)


def has_wide_gaps(values: Collection[int]) -> bool:
    """Says whether so few of the ids 0..highest are among the values that they are codes and no ids."""
    return len(values) * 4 < max(values) + 1


def has_too_many_values(summary: ValueSummary) -> bool:
    """Says whether there are more grey values than classes that nobody has named."""
    return len(summary.values) > MOST_CLASSES and summary.palette is None


def has_blended_edges(summary: ValueSummary) -> bool:
    """Says whether grey values look like an object on background that was drawn with smoothing."""
    values = summary.values
    between = [value for value in values if 0 < value < values[-1]]
    rare = sum(summary.pixels[value] for value in between) < 0.2 * sum(summary.pixels.values())
    # As many classes, with so high an id among the rarest, no known dataset has.
    return len(between) >= 8 and between[-1] > 160 and rare and summary.palette is None


def _value_map(values: Sequence[int], class_names: Sequence[str] | None) -> dict[str, Any]:
    names = _usable(class_names, len(values)) or [f"class_{value}" for value in values]
    return dict(zip(names, values, strict=True))


def _colour_map(colours: Sequence[Colour], class_names: Sequence[str] | None) -> dict[str, list[int]]:
    classes = [colour for colour in colours if colour != VOC_VOID]
    names = _usable(class_names, len(classes)) or [f"class_{number}" for number in range(len(classes))]
    mapping = {name: list(colour) for name, colour in zip(names, classes, strict=True)}
    return mapping | ({VOID_NAME: list(VOC_VOID)} if len(classes) < len(colours) else {})


def _usable(class_names: Sequence[str] | None, count: int) -> Sequence[str] | None:
    """Returns the names if there are as many and they can be typed as keys."""
    if class_names is None or len(class_names) != count:
        return None
    return class_names if can_be_typed(dict.fromkeys(class_names, 0)) else None


def _listed(values: Sequence[Value], most: int = 12) -> str:
    return ", ".join(map(typed, values[:most])) + (f" and {len(values) - most} more" if len(values) > most else "")
