"""Calls a function on many items, in several threads, and gives the results in order."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from segtrain.machine import usable_cores

# Pairs that are read ahead of the counting: enough that one large photo does not keep the other threads waiting.
READ_AHEAD = 64


def in_order(function: Callable[[Any], Any], items: Iterable, ahead: int = READ_AHEAD) -> Iterator[Any]:
    """Yields `function(item)` of each item, in their order, called by several threads.

    An executor's own `map` makes a task of every item at once.

    Args:
        function: what to call.
        items: of any number.
        ahead: how many calls may be under way or done before the next result is taken.
    """
    tasks: collections.deque = collections.deque()
    # As many as there are cores, since each may hold an image of many megabytes.
    with ThreadPoolExecutor(usable_cores()) as pool:
        try:
            for item in items:
                tasks.append(pool.submit(function, item))
                if len(tasks) == ahead:
                    yield tasks.popleft().result()
            while tasks:
                yield tasks.popleft().result()
        finally:  # where it ends early, by Ctrl-C for one, what has not begun does not begin
            for task in tasks:
                task.cancel()
