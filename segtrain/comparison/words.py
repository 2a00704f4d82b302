"""What a comparison has found, in sentences."""

import math
from collections.abc import Iterable, Sequence

from segtrain.comparison.difference import MOST_SEEDS, Difference
from segtrain.comparison.pairs import LEVEL, Pair

CHANCE = "4 of 5 sweeps"  # as `segtrain.comparison.difference.CHANCE_TO_TELL` has it
MOST_NAMED = 5
FEW_IMAGES = 10


def describe(pair: Pair) -> str:
    """Returns what is known of two configurations' mean IoU, in one sentence."""
    if pair.why_not:
        return f"{pair.first} and {pair.second} do not compare: {pair.why_not}"
    difference = pair.measures["mean_iou"]
    first, second = (pair.first, pair.second) if difference.value >= 0 else (pair.second, pair.first)
    one_sided = _one_sided(pair)
    if pair.is_same:
        return f"{first} and {second} gave the same numbers in every score with {_count(pair)}{one_sided}"
    if math.isnan(difference.half_width):
        points = f"{100 * abs(difference.value):.1f} mIoU points"
        told = f"no difference between {first} and {second} can be told with {_count(pair)} ({points}, no interval)"
        return f"{told}{one_sided}"
    points, interval = _in_points(difference)
    left_out = _left_out(pair)
    if difference.is_told:
        return f"{first} is ahead of {second} by {points} ({interval}, {left_out or _count(pair)}){one_sided}"
    aside = ", ".join(part for part in (points, interval, left_out) if part)
    told = f"no difference between {first} and {second} can be told with {_count(pair)} ({aside})"
    return f"{told}{_what_would_tell(pair)}{one_sided}"


def describe_population(pairs: Sequence[Pair]) -> str:
    """Returns what the intervals are about, over all pairs: a sentence of one says what its own leaves out."""
    of_iou = [pair.measures["mean_iou"] for pair in pairs if pair.measures]
    seeds = ["other seeds"] if any(each.seeds is not None for each in of_iou) else []
    images = ["other images from the same source"] if any(each.images is not None for each in of_iou) else []
    about = " and ".join(seeds + images)
    return f"Intervals are about {about}; what was trained on stays as it is" if about else ""


def describe_level(level: float) -> str:
    """Returns how intervals of that level are meant together, each being about a configuration and the best one."""
    num_pairs = round((1 - LEVEL) / (1 - level))
    return (
        f"Each is compared with the best of its kind. Their intervals hold at {_percent(LEVEL)} for all {num_pairs} "
        f"pairs together, each at {_percent(level)} (Bonferroni)"
    )


def describe_rare_classes(pairs: Sequence[Pair]) -> str:
    """Returns which classes few images have, and what their intervals are worth; empty where there is none.

    The interval takes a ratio over so many images as if it were normal. Of a class that 3 to 8 of 100 images have it
    covers the truth in 91 to 97 % of simulated sweeps, from `FEW_IMAGES` on in 93 to 97 %; one image has no variance.
    """
    counts: dict[str, int] = {}
    for pair in pairs:
        for name, count in pair.images_with.items():
            if name.startswith("iou_"):
                counts[name] = min(count, counts.get(name, count))
    rare = sorted((count, name.removeprefix("iou_")) for name, count in counts.items() if count < FEW_IMAGES)
    if not rare:
        return ""
    named = _listed(f"{name} ({count} image{'s' if count != 1 else ''})" for count, name in rare)
    verb, their = ("stand", "their") if len(rare) > 1 else ("stands", "its")
    none = "; of a class in fewer than two there is none" if rare[0][0] < 2 else ""
    return (
        f"{named} {verb} in fewer than {FEW_IMAGES} images, which tell little of how much others differ from them: "
        f"{their} 95 % intervals cover the truth in 91 to 97 % of simulated sweeps{none}"
    )


def _in_points(difference: Difference) -> tuple[str, str]:
    """Returns the difference and its interval, seen from the one that is ahead."""
    value, half_width = 100 * abs(difference.value), 100 * difference.half_width
    low, high = value - half_width, value + half_width
    digits = 1 if abs(low) >= 0.05 else 2  # 0.0 would not tell on which side it is
    interval = f"{_percent(difference.level)} interval {low:.{digits}f} to {high:.{digits}f}"
    return f"{value:.{digits}f} mIoU points", interval


def _count(pair: Pair) -> str:
    count = pair.measures["mean_iou"].repetitions
    return f"one {pair.over.removesuffix('s')}" if count == 1 else f"{count} {pair.over}"


def _left_out(pair: Pair) -> str:
    """Returns which source of chance the interval leaves out."""
    if pair.measures["mean_iou"].seeds is None:
        return "one seed: seeds are not counted in this interval"
    if pair.over == "seeds" and pair.measures["mean_iou"].images is None:
        return f"{_count(pair)}: images are not counted in this interval"
    return ""


def _one_sided(pair: Pair) -> str:
    """Returns which runs count for nothing, the other configuration having none to pair them with."""
    if not pair.left_out:
        return ""
    verb = "has only one side and is" if len(pair.left_out) == 1 else "have only one side and are"
    return f"; {_listed(pair.left_out)} {verb} left out"


def _what_would_tell(pair: Pair) -> str:
    difference = pair.measures["mean_iou"]
    if pair.over == "folds" or difference.value == 0:
        return ""
    aim = f"to tell a difference of this size in {CHANCE}"
    images = difference.images_needed(pair.num_images) if pair.num_images else None
    if difference.seeds is None:
        return f"; about {_rounded(images)} images would be needed {aim}" if images else ""
    if seeds := difference.seeds_needed():
        return f"; about {seeds} seeds would be needed {aim}"
    if images and images > pair.num_images:
        return f"; more seeds will not help: about {_rounded(images)} images would be needed {aim}"
    return f"; more than {MOST_SEEDS:,} seeds would be needed {aim}"


def _rounded(count: int) -> str:
    return f"{float(f'{count:.2g}'):,.0f}"


def _percent(level: float) -> str:
    """Returns a level with as many digits as tell it from 100 %."""
    return f"{100 - float(f'{100 * (1 - level):.2g}'):.10g} %"


def _listed(names: Iterable[str]) -> str:
    """Returns the first few names, and how many more there are."""
    names = list(names)
    if len(names) > MOST_NAMED:
        names[MOST_NAMED - 1 :] = [f"{len(names) - MOST_NAMED + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
