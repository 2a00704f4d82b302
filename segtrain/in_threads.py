"""Work on one item after another in threads, beside whatever makes the items."""

import collections
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# Pairs that are read ahead of a count of theirs: one large photo keeps no other thread waiting then.
READ_AHEAD = 64

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    num_threads: int,
    most_waiting: int | None = None,
    room: float = math.inf,
    size: Callable[[Item], float] = lambda item: 0,
) -> Iterator[Result]:
    """Yields the function of each item, in order, while threads work on the next ones.

    Args:
        function: what threads do; its errors are raised here.
        items: taken one by one, in the caller's thread, as there is room for more.
        num_threads: threads.
        most_waiting: items in work or done that have not been yielded; two a thread when None.
        room: what their sizes may add up to. One item is always taken, however large.
        size: of an item.
    """
    most_waiting = most_waiting or 2 * num_threads
    waiting: collections.deque = collections.deque()
    taken = 0.0
    pool = ThreadPoolExecutor(num_threads)
    try:
        for item in items:
            own_size = size(item)
            while waiting and (len(waiting) >= most_waiting or taken + own_size > room):
                future, size_of_first = waiting.popleft()
                taken -= size_of_first
                yield future.result()
            waiting.append((pool.submit(function, item), own_size))
            taken += own_size
            del item  # else an item that is done would stay until the next one is there
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        pool.shutdown(cancel_futures=True)
