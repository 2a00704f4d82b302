"""The weights against a loop over masks that follows the paper's sentence, and against counts that others published."""

import statistics

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from segtrain.inspection.class_balance import median_frequency_weights

NUM_CLASSES = 4
VOID = 9
at_leisure = settings(deadline=None, database=None, max_examples=100)
# Small masks of few labels: absent classes, masks of void alone and ties come by themselves.
MASKS = strategies.lists(
    strategies.lists(strategies.sampled_from([0, 1, 2, 3, VOID]), min_size=1, max_size=6), min_size=0, max_size=5
)


def slow_weights(masks: list[list[int]]) -> list[float | None]:
    frequencies = {}
    for class_id in range(NUM_CLASSES):
        there = [mask for mask in masks if class_id in mask]
        if there:
            pixels_of_class = sum(label == class_id for mask in there for label in mask)
            frequencies[class_id] = pixels_of_class / sum(len(mask) for mask in there)
    return [
        statistics.median(frequencies.values()) / frequencies[class_id] if class_id in frequencies else None
        for class_id in range(NUM_CLASSES)
    ]


@at_leisure
@given(MASKS)
def test_weights_are_those_of_the_papers_sentence(masks):
    class_pixels = np.array([sum(mask.count(class_id) for mask in masks) for class_id in range(NUM_CLASSES)])
    pixels = np.array([sum(len(mask) for mask in masks if class_id in mask) for class_id in range(NUM_CLASSES)])
    assert median_frequency_weights(class_pixels, pixels) == pytest.approx(slow_weights(masks))


def test_an_absent_class_has_no_weight_and_no_part_in_the_median():
    weights = median_frequency_weights(np.array([10, 0, 30, 60]), np.array([100, 0, 100, 100]))
    assert weights == pytest.approx([3.0, None, 1.0, 0.5])
    assert median_frequency_weights(np.zeros(2, int), np.zeros(2, int)) == [None, None]


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
