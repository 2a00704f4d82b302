import threading

from segtrain.pipeline.in_order import in_order


def test_calls_stay_in_order_and_few_are_begun_ahead():
    """The consumer takes nothing more while ten calls are waiting, however many items there are."""
    begun = []

    def function(item):
        begun.append(item)
        return -item

    results = in_order(function, iter(range(1000)), ahead=10)
    for number in range(1000):
        assert next(results) == -number
        assert len(begun) <= number + 10
    assert next(results, None) is None
    assert sorted(begun) == list(range(1000))


def test_what_ends_early_begins_nothing_more():
    """As when Ctrl-C comes: calls that wait for a thread are given up."""
    begun, gate, others = [], threading.Event(), set(threading.enumerate())

    def function(item):
        begun.append(item)
        if item > 0:
            gate.wait(60)

    results = in_order(function, range(1000), ahead=200)
    next(results)
    timer = threading.Timer(0.1, gate.set)
    timer.start()
    results.close()
    timer.join()
    assert len(begun) < 200
    assert set(threading.enumerate()) <= others
