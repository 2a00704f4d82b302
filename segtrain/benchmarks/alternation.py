"""Contenders take turns, so that whatever else the machine does meets them alike."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Figure:
    """The median of a figure over the rounds, with the lowest and the highest it took."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        """Returns the figure of the values of all rounds."""
        return cls(float(np.median(values)), float(np.min(values)), float(np.max(values)))


NOT_MEASURED = Figure(math.nan, math.nan, math.nan)


def take_turns(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Calls every contender once a round, each second round in the opposite order.

    Args:
        contenders: by name; each does its work and returns its figure, such as seconds or images per second.
        rounds: how often.

    Returns:
        Each contender's figure of every round.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for name in names:
            figures[name].append(contenders[name]())
    return figures


def seconds_of(
    call: Callable[[], Any], count: int, *, untimed: int = 0, wait: Callable[[Any], object] = lambda last: None
) -> float:
    """Returns the seconds that `count` calls take.

    Args:
        call: what to time.
        count: how many calls.
        untimed: calls before them, for what is ready when the turn comes.
        wait: waits for the device, given what the last call returned.
    """
    for _ in range(untimed):
        wait(call())
    start = time.perf_counter()
    for _ in range(count):
        last = call()
    wait(last)
    return time.perf_counter() - start


def ratio(figures: Mapping[str, Sequence[float]], ours: str, theirs: str) -> Figure:
    """Returns the figure of `ours / theirs`, taken within each round."""
    return Figure.of(np.divide(figures[ours], figures[theirs]))
