import threading

import pytest

from segtrain.in_threads import map_in_threads


def test_results_come_in_order_whichever_is_done_first():
    second_is_done = threading.Event()

    def square(number):
        if number == 0:
            assert second_is_done.wait(timeout=30)
        if number == 1:
            second_is_done.set()
        return number**2

    assert list(map_in_threads(square, range(50), num_threads=3)) == [number**2 for number in range(50)]


@pytest.mark.parametrize(
    ("limits", "most"), [({}, 4), ({"most_waiting": 7}, 7), ({"room": 10, "size": lambda _: 3}, 3), ({"room": 0}, 4)]
)
def test_no_more_is_taken_than_there_is_room_for(limits, most):
    taken = []
    results = map_in_threads(
        lambda item: item, (taken.append(item) or item for item in range(20)), num_threads=2, **limits
    )
    for number, result in enumerate(results):
        assert result == number
        # One that was taken waits for room.
        assert len(taken) <= number + most + 1
    assert len(taken) == 20


def test_one_is_taken_however_large():
    assert list(map_in_threads(str, [1, 2], num_threads=1, room=1, size=lambda _: 100)) == ["1", "2"]


def test_an_error_is_raised_where_the_results_are_taken():
    def fails_at_two(item):
        if item == 2:
            raise OSError("disk full")
        return item

    results = map_in_threads(fails_at_two, range(5), num_threads=1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="disk full"):
        next(results)


def test_what_ends_early_begins_nothing_more():
    """As when Ctrl-C comes: calls that wait for a thread are given up."""
    begun, gate, others = [], threading.Event(), set(threading.enumerate())

    def function(item):
        begun.append(item)
        if item > 0:
            gate.wait(60)

    results = map_in_threads(function, range(1000), num_threads=2, most_waiting=200)
    next(results)
    timer = threading.Timer(0.1, gate.set)
    timer.start()
    results.close()
    timer.join()
    assert len(begun) < 200
    assert set(threading.enumerate()) <= others
