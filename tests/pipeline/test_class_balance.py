"""Counts against NumPy over the masks, weights against scikit-learn and papers.

Those of median frequency: against a loop over masks that follows the paper's sentence, and counts others published.
"""

import math
import os
import statistics

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from sklearn.utils import class_weight

from segtrain.datasets.camvid import build_camvid
from segtrain.datasets.shapes import build_shapes
from segtrain.pipeline.class_balance import (
    ClassBalance,
    count_classes,
    median_frequency_weights,
    weights_by_rule,
)
from segtrain.pipeline.samples import Samples

REAL = os.environ.get("SEGTRAIN_CAMVID")

NUM_CLASSES = 4
VOID = 9
at_leisure = settings(deadline=None, database=None, max_examples=100)
# Small masks of few labels: absent classes, masks of void alone and ties come by themselves.
MASKS = strategies.lists(
    strategies.lists(strategies.sampled_from([0, 1, 2, 3, VOID]), min_size=1, max_size=6), min_size=0, max_size=5
)


def slow_weights(masks: list[list[int]]) -> list[float]:
    frequencies = {}
    for class_id in range(NUM_CLASSES):
        there = [mask for mask in masks if class_id in mask]
        if there:
            pixels_of_class = sum(label == class_id for mask in there for label in mask)
            frequencies[class_id] = pixels_of_class / sum(len(mask) for mask in there)
    return [
        statistics.median(frequencies.values()) / frequencies[class_id] if class_id in frequencies else math.nan
        for class_id in range(NUM_CLASSES)
    ]


@at_leisure
@given(MASKS)
def test_weights_are_those_of_the_papers_sentence(masks):
    class_pixels = np.array([sum(mask.count(class_id) for mask in masks) for class_id in range(NUM_CLASSES)])
    pixels = np.array([sum(len(mask) for mask in masks if class_id in mask) for class_id in range(NUM_CLASSES)])
    assert median_frequency_weights(class_pixels, pixels) == pytest.approx(slow_weights(masks), nan_ok=True)


def test_an_absent_class_has_no_weight_and_no_part_in_the_median():
    weights = median_frequency_weights(np.array([10, 0, 30, 60]), np.array([100, 0, 100, 100]))
    assert weights == pytest.approx([3.0, math.nan, 1.0, 0.5], nan_ok=True)
    assert np.isnan(median_frequency_weights(np.zeros(2, int), np.zeros(2, int))).tolist() == [True, True]


def test_a_median_between_two_classes():
    assert median_frequency_weights(np.array([20, 40]), np.array([100, 100])) == pytest.approx([1.5, 0.75])


def test_the_weights_of_published_counts():
    """Counts of CamVid's training masks and what follows: https://github.com/alexgkendall/caffe-segnet/issues/37.

    The masks are of 360x480 pixels; that table has void as a twelfth class.
    """
    pixels = [
        10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385, 184967, 2503995,
    ]  # fmt: skip
    images = np.array([366, 365, 366, 367, 349, 319, 351, 173, 360, 317, 201, 367])
    published = [
        0.256527308, 0.185282667, 4.396287575, 0.136869322, 0.918473131, 0.387319864,
        3.533074291, 1.812685267, 0.724619798, 5.855012981, 8.136508447, 1.097409921,
    ]  # fmt: skip
    weights = median_frequency_weights(np.array(pixels), images * 360 * 480)
    assert weights == pytest.approx(published, abs=1e-9)


@pytest.mark.parametrize("max_samples", [None, 5])
def test_masks_are_counted_at_their_own_size(max_samples):
    dataset = build_shapes(num_train=9, num_val=2, height=24, width=40)
    samples = Samples(dataset, "train", image_size=(8, 8), max_samples=max_samples)
    chosen = range(9) if max_samples is None else [0, 2, 4, 6, 8]
    masks = np.stack([dataset.read("train", index)[1] for index in chosen])
    followed = []

    def track(items):
        for item in items:
            followed.append(item)
            yield item

    balance = count_classes(samples, track)
    assert len(followed) == len(samples) == len(masks)
    assert balance.images == len(masks)
    assert balance.pixels == masks.size
    for class_id in range(dataset.num_classes):
        there = masks == class_id
        assert balance.class_pixels[class_id] == there.sum()
        assert balance.pixels_of_images[class_id] == there.any((1, 2)).sum() * 24 * 40
    assert balance.class_pixels.sum() > 0


BALANCE = ClassBalance(np.array([6000, 0, 1500, 30]), np.array([10000, 0, 4000, 1000]), 10000, 100)


def test_inverse_weights_are_those_of_scikit_learn():
    labels = np.repeat(np.arange(4), BALANCE.class_pixels)
    expected = class_weight.compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=labels)
    weights = weights_by_rule("inverse", BALANCE)
    np.testing.assert_allclose(weights[[0, 2, 3]], expected)
    assert weights[1] == 0


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99, 0.9999])
def test_effective_numbers_are_sums_of_powers(beta):
    """With whole images of a class, the effective number is 1 + beta + beta**2 ... (Cui et al., proposition 1)."""
    balance = ClassBalance(np.array([6000, 0, 1500, 100]), np.array([10000, 0, 4000, 1000]), 10000, 100)
    numbers = np.array([sum(beta**power for power in range(count)) for count in (60, 15, 1)])
    expected = 1 / numbers * 3 / (1 / numbers).sum()
    weights = weights_by_rule("effective_number", balance, beta=beta)
    np.testing.assert_allclose(weights[[0, 2, 3]], expected, rtol=1e-9)
    assert weights[1] == 0


def test_effective_numbers_lie_between_equal_weights_and_inverse_ones():
    inverse = weights_by_rule("inverse", BALANCE)
    spreads = []
    for beta in (0.5, 0.9, 0.99, 0.999999):
        weights = weights_by_rule("effective_number", BALANCE, beta=beta)
        spreads.append(weights[3] / weights[0])
    assert 1 < spreads[0] < spreads[1] < spreads[2] < spreads[3]
    assert spreads[3] == pytest.approx(inverse[3] / inverse[0], rel=1e-3)


@pytest.mark.parametrize("rule", ["median_frequency", "inverse", "effective_number"])
def test_a_split_of_nothing_but_void_has_no_weights(rule):
    balance = ClassBalance(np.zeros(3, int), np.zeros(3, int), 100, 2)
    assert weights_by_rule(rule, balance).tolist() == [0, 0, 0]


@pytest.mark.skipif(REAL is None, reason="SEGTRAIN_CAMVID names no CamVid folder")
def test_the_weights_of_the_real_camvid_are_those_that_inspect_prints():
    samples = Samples(build_camvid(root=REAL), "train", image_size=(96, 128))
    weights = weights_by_rule("median_frequency", count_classes(samples))
    expected = [0.279, 0.202, 4.787, 0.149, 1.0, 0.422, 3.847, 1.974, 0.789, 6.375, 8.859]
    assert np.round(weights, 3).tolist() == expected
