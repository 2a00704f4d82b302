"""What a comparison has found, in sentences."""

import math

from segtrain.comparison.difference import MOST_SEEDS, Difference
from segtrain.comparison.pairs import LEVEL, Pair

POPULATION = "Intervals are about other seeds and other images from the same source; what was trained on stays as it is"


def describe(pair: Pair) -> str:
    """Returns what is known of two configurations' mean IoU, in one sentence."""
    if pair.why_not:
        return f"{pair.first} and {pair.second} do not compare: {pair.why_not}"
    difference = pair.measures["mean_iou"]
    first, second = (pair.first, pair.second) if difference.value >= 0 else (pair.second, pair.first)
    if math.isnan(difference.half_width):
        points = f"{100 * abs(difference.value):.1f} mIoU points"
        return f"no difference between {first} and {second} can be told with {_count(pair)} ({points}, no interval)"
    points, interval = _in_points(difference)
    left_out = _left_out(pair)
    if difference.is_told:
        return f"{first} is ahead of {second} by {points} ({interval}, {left_out or _count(pair)})"
    aside = ", ".join(part for part in (points, interval, left_out) if part)
    told = f"no difference between {first} and {second} can be told with {_count(pair)} ({aside})"
    return f"{told}{_what_would_tell(pair)}"


def describe_level(level: float) -> str:
    """Returns how intervals of that level are meant together, each being about a configuration and the best one."""
    num_pairs = round((1 - LEVEL) / (1 - level))
    return (
        f"Each is compared with the best of its kind. Their intervals hold at {_percent(LEVEL)} for all {num_pairs} "
        f"pairs together, each at {_percent(level)} (Bonferroni)"
    )


def _in_points(difference: Difference) -> tuple[str, str]:
    """Returns the difference and its interval, seen from the one that is ahead."""
    value, half_width = 100 * abs(difference.value), 100 * difference.half_width
    low, high = value - half_width, value + half_width
    digits = 1 if min(abs(low), high) >= 0.05 else 2  # 0.0 would not tell on which side it is
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


def _what_would_tell(pair: Pair) -> str:
    difference = pair.measures["mean_iou"]
    images = pair.num_images and difference.images_needed(pair.num_images)
    if pair.over == "folds" or difference.value == 0:
        return ""
    if difference.seeds is None:
        return f"; about {_rounded(images)} images would be needed"
    if seeds := difference.seeds_needed():
        return f"; about {seeds} would be needed"
    if images and images > pair.num_images:
        return f"; more seeds will not help: more images would be needed, about {_rounded(images)}"
    return f"; more than {MOST_SEEDS:,} would be needed"


def _rounded(count: int) -> str:
    return f"{float(f'{count:.2g}'):,.0f}"


def _percent(level: float) -> str:
    """Returns a level with as many digits as tell it from 100 %."""
    return f"{100 - float(f'{100 * (1 - level):.2g}'):.10g} %"
