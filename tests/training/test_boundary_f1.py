import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segtrain.training.boundary_f1 import boundary_f1, mean_boundary_f1

VOID = 255


def slow_boundary(labels, class_id):
    height, width = labels.shape
    return [
        (row, column)
        for row in range(height)
        for column in range(width)
        if labels[row, column] == class_id
        and any(
            0 <= r < height and 0 <= c < width and labels[r, c] not in (class_id, VOID)
            for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        )
    ]


def slow_f1(truth, predicted, num_classes, tolerance):
    """Every boundary pixel against every other."""
    radius = max(1, tolerance * math.hypot(*truth.shape))
    predicted = np.where(truth == VOID, VOID, predicted)
    scores = []
    for class_id in range(num_classes):
        true, found = slow_boundary(truth, class_id), slow_boundary(predicted, class_id)
        if not (truth == class_id).any() or not (true or found):
            scores.append(math.nan)
            continue
        precision, recall = (
            np.mean([any(math.dist(a, b) <= radius for b in others) for a in ones]) if ones else 0.0
            for ones, others in ((found, true), (true, found))
        )
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return scores


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 14), st.integers(1, 14), st.sampled_from([0.0, 0.1, 0.25]), st.booleans())
def test_equals_a_slow_twin(seed, height, width, tolerance, blocky):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, (2, height, width))
    if blocky:
        truth, predicted = (np.kron(each, np.ones((4, 3), int))[:height, :width] for each in (truth, predicted))
    truth[rng.random(truth.shape) < 0.2] = VOID
    scores = boundary_f1(truth, predicted, num_classes=4, ignore_label=VOID, tolerance=tolerance)
    np.testing.assert_allclose(scores, slow_f1(truth, predicted, 4, tolerance))


def halves(edge, size=(40, 60)):
    labels = np.zeros(size, np.uint8)
    labels[:, edge:] = 1
    return labels


def test_a_boundary_counts_as_met_within_the_tolerance_of_the_paper():
    """0.75 % of the diagonal of 360x480 are 4.5 pixels: a step edge may be 4 pixels off and not 5."""
    truth = halves(200, (360, 480))
    for shift, expected in ((0, 1.0), (4, 1.0), (-4, 1.0), (5, 0.0), (-5, 0.0)):
        scores = boundary_f1(truth, halves(200 + shift, (360, 480)), num_classes=3, ignore_label=VOID)
        np.testing.assert_array_equal(scores, [expected, expected, np.nan])


def test_a_class_that_is_not_found_scores_zero_and_one_that_is_not_there_nothing():
    scores = boundary_f1(halves(30), np.full((40, 60), 2), num_classes=3, ignore_label=VOID)
    np.testing.assert_array_equal(scores, [0.0, 0.0, np.nan])


def test_the_rim_of_void_is_no_boundary():
    truth = halves(30)
    truth[:, 28:32] = VOID
    scores = boundary_f1(truth, halves(30), num_classes=2, ignore_label=VOID)
    assert np.isnan(scores).all()


@pytest.mark.parametrize("labels", [np.zeros((5, 5), int), np.full((5, 5), VOID)])
def test_an_image_without_boundaries_has_no_score(labels):
    assert np.isnan(boundary_f1(labels, np.zeros((5, 5), int), num_classes=2, ignore_label=VOID)).all()


def test_a_split_is_averaged_over_classes_and_then_over_images():
    """An image without a boundary, as one of void that fills a batch up, counts nowhere."""
    rng = np.random.default_rng(0)
    pairs = [tuple(rng.integers(0, 2 + number, (2, 9, 12))) for number in range(3)]
    expected = [
        np.mean([score for score in slow_f1(truth, predicted, 4, 0.0075) if not math.isnan(score)])
        for truth, predicted in pairs
    ]
    nothing = np.full((9, 12), VOID), np.zeros((9, 12), int)
    found = mean_boundary_f1([*pairs, nothing], num_classes=4, ignore_label=VOID)
    assert found == pytest.approx(np.mean(expected))
    assert np.ptp(expected) > 0.05
    assert math.isnan(mean_boundary_f1([nothing], num_classes=4, ignore_label=VOID))
