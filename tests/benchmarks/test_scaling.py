"""The prediction, against numbers worked by hand."""

import dataclasses

import pytest

from segtrain.benchmarks.scaling import LINKS, Link, StepTerms, predict, ring_bytes, ring_seconds

# 100 MB of gradients in one sum; 20 sums of 1 MB in all that the network waits for; 0.1 s for 8 images,
# 0.08 of one device by itself.
TERMS = StepTerms(8, 0.08, 0.1, 100e6, 1, 1e6, 20)
# 1 GB/s, 100 µs a hop.
LINK = Link("slow", "hosts", 1e9, 1e-4, 4, "")


@pytest.mark.parametrize(("replicas", "expected"), [(1, 0), (2, 100), (4, 150), (16, 187.5)])
def test_each_device_of_a_ring_sends_nearly_twice_the_bytes(replicas, expected):
    assert ring_bytes(100, replicas) == expected


def test_a_ring_takes_its_hops_and_its_bytes():
    # 3 sums of 2 (4 - 1) hops: 1.8 ms; 1.5 times 2 MB at 1 GB/s: 3 ms.
    assert ring_seconds(2e6, 3, 4, LINK) == pytest.approx(0.0048)


@pytest.mark.parametrize(
    ("overlap", "step"),
    [
        # Waited for: 20 · 6 · 0.1 ms + 1.5 ms = 13.5 ms. Gradients: 0.6 ms + 150 ms = 150.6 ms.
        (0.0, 0.1 + 0.0135 + 0.1506),
        (0.5, 0.1 + 0.0135 + 0.1006),
        # None is left, and none of what is over is given back.
        (2.0, 0.1 + 0.0135),
    ],
)
def test_a_step_of_four_replicas(overlap, step):
    found = predict(TERMS, 4, LINK, overlap)
    assert found.replicas == 4
    assert found.step_seconds == pytest.approx(step)
    assert found.images_per_second == pytest.approx(4 * 8 / step)
    assert found.efficiency == pytest.approx(0.08 / step)


def test_one_replica_exchanges_nothing():
    found = predict(TERMS, 1, LINK, 0.0)
    assert (found.step_seconds, found.images_per_second, found.efficiency) == (0.08, 100, 1)


def test_on_a_faster_device_the_exchange_weighs_more():
    found = predict(TERMS, 4, LINK, 0.5, speed=10)
    # Of 10 ms of computation, 5 hide gradients.
    assert found.step_seconds == pytest.approx(0.01 + 0.0135 + 0.1456)
    assert found.efficiency == pytest.approx(0.008 / 0.1691)


def test_hosts_are_linked_at_what_is_left_of_their_line_rate():
    by_name = {link.name: dataclasses.astuple(link)[1:5] for link in LINKS}
    assert by_name["100 Gbit/s"] == ("hosts", 10e9, 30e-6, 16)
    assert by_name["25 Gbit/s"] == ("hosts", 2.5e9, 30e-6, 16)
    assert {link.most for link in LINKS if link.place == "one host"} == {8}
