import numpy as np
import pytest

from segtrain.benchmarks.alternation import Figure, ratio, seconds_of, take_turns


def test_contenders_take_turns_in_changing_order():
    calls = []

    def contender(name):
        def turn():
            calls.append(name)
            return float(len(calls))

        return turn

    figures = take_turns({name: contender(name) for name in "abc"}, rounds=3)
    assert "".join(calls) == "abccbaabc"
    assert figures == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_a_ratio_is_taken_within_each_round():
    """A machine that slows down by half in one round slows both, so the ratio stays."""
    figures = {"ours": [1.0, 2.0, 1.0], "theirs": [4.0, 8.0, 2.0]}
    assert ratio(figures, "ours", "theirs") == Figure(median=0.25, low=0.25, high=0.5)


@pytest.mark.parametrize("count", [1, 6, 7])
def test_a_figure_is_the_median_with_its_ends(count):
    values = np.random.default_rng(count).random(count)
    ordered = sorted(values)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    assert Figure.of(values) == pytest.approx(Figure(middle, ordered[0], ordered[-1]))


def test_untimed_calls_come_first_and_the_last_call_is_waited_for(monkeypatch):
    now, told = [0.0], []

    def call():
        now[0] += 1.0
        return now[0]

    def wait(last):
        told.append(last)
        now[0] += 100.0

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    assert seconds_of(call, 3, untimed=2, wait=wait) == 3 + 100
    assert told == [1.0, 102.0, 205.0]
