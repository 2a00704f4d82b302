import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segtrain.datasets.shapes import build_shapes
from segtrain.evaluation.boundary_f1 import boundary_f1

VOID = 255


def neighbours(row, column, shape):
    around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [(r, c) for r, c in around if 0 <= r < shape[0] and 0 <= c < shape[1]]


def slow_boundary(labels, class_id):
    return [
        place
        for place in np.ndindex(labels.shape)
        if labels[place] == class_id
        and any(labels[beside] not in (class_id, VOID) for beside in neighbours(*place, labels.shape))
    ]


def slow_f1(truth, predicted, num_classes, tolerance):
    """Every boundary pixel against every other, in a truth without void."""
    radius = max(1, tolerance * math.hypot(*truth.shape))
    scores = []
    for class_id in range(num_classes):
        true, found = slow_boundary(truth, class_id), slow_boundary(predicted, class_id)
        if not true:
            scores.append(math.nan)
            continue
        precision, recall = (
            np.mean([any(math.dist(a, b) <= radius for b in others) for a in ones]) if ones else 0.0
            for ones, others in ((found, true), (true, found))
        )
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return scores


def random_pair(seed, height, width, blocky):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, (2, height, width), np.uint8)
    if blocky:
        truth, predicted = (np.kron(each, np.ones((4, 3), np.uint8))[:height, :width] for each in (truth, predicted))
    return truth, predicted


CASES = given(
    st.integers(0, 10_000), st.integers(1, 14), st.integers(1, 14), st.sampled_from([0.0, 0.1, 0.25]), st.booleans()
)


@settings(max_examples=60, deadline=None)
@CASES
def test_equals_a_slow_twin(seed, height, width, tolerance, blocky):
    truth, predicted = random_pair(seed, height, width, blocky)
    scores = boundary_f1(truth, predicted, num_classes=4, ignore_label=VOID, tolerance=tolerance)
    np.testing.assert_allclose(scores, slow_f1(truth, predicted, 4, tolerance))


def slow_bridge(truth, predicted, reach):
    """Every void pixel against every valid one. Returns None where two are as near and differ: there is a choice."""
    valid = [place for place in np.ndindex(truth.shape) if truth[place] != VOID]
    bridged = truth.copy(), np.where(truth == VOID, VOID, predicted)
    for place in np.ndindex(truth.shape):
        if truth[place] != VOID or not valid:
            continue
        # A distance is taken in steps of 1, 1.4 and 2.1969, so that nearly equal ones may change places.
        distances = np.array([math.dist(place, other) for other in valid])
        if abs(distances.min() - reach) < 0.1 * reach:
            return None
        near = [other for other, distance in zip(valid, distances, strict=True) if distance < 1.05 * distances.min()]
        if distances.min() < reach:
            if len({(truth[other], predicted[other]) for other in near}) > 1:
                return None
            bridged[0][place], bridged[1][place] = truth[near[0]], predicted[near[0]]
    return bridged


def test_void_is_bridged_as_a_slow_twin_does():
    """Thin rims, deep areas and specks of void; each that leaves no choice."""
    compared = deep = 0
    tolerance = 1.25 / math.hypot(12, 15)  # reaches 2.5 pixels, a distance that no pixel is at
    for seed in range(700):
        rng = np.random.default_rng(seed)
        truth, predicted = random_pair(seed, 12, 15, blocky=True)
        top, left, height, width = rng.integers(0, 8, 4)
        truth[top : top + height, left : left + width] = VOID
        expected = slow_bridge(truth, predicted, reach=2.5)
        if expected is None:
            continue
        compared += 1
        deep += bool((expected[0] == VOID).any())
        scores = boundary_f1(truth, predicted, num_classes=4, ignore_label=VOID, tolerance=tolerance)
        np.testing.assert_allclose(scores, slow_f1(*expected, 4, tolerance))
    assert compared > 50
    assert deep > 10


@settings(max_examples=60, deadline=None)
@CASES
def test_what_is_right_outside_void_scores_one_and_what_is_inside_counts_nowhere(
    seed, height, width, tolerance, blocky
):
    truth, predicted = random_pair(seed, height, width, blocky)
    rng = np.random.default_rng(seed)
    truth[rng.random(truth.shape) < 0.3] = VOID
    of_case = {"num_classes": 4, "ignore_label": VOID, "tolerance": tolerance}
    perfect = boundary_f1(truth, np.where(truth == VOID, predicted, truth), **of_case)
    assert np.isin(perfect[~np.isnan(perfect)], 1.0).all()
    scores = boundary_f1(truth, predicted, **of_case)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(perfect))
    inside = np.where(truth == VOID, rng.integers(0, 4, truth.shape, np.uint8), predicted)
    np.testing.assert_array_equal(boundary_f1(truth, inside, **of_case), scores)


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


@pytest.mark.parametrize(("shift", "expected"), [(-5, 0.0), (-4, 1.0), (0, 1.0), (4, 1.0), (5, 0.0)])
def test_the_boundary_is_in_the_middle_of_a_rim_of_void(shift, expected):
    """A rim of four pixels around the edge: whatever is predicted in it is in its middle, and outside as without it."""
    truth = halves(200, (360, 480))
    truth[:, 198:202] = VOID
    scores = boundary_f1(truth, halves(200 + shift, (360, 480)), num_classes=2, ignore_label=VOID)
    np.testing.assert_array_equal(scores, [expected, expected])


@pytest.mark.parametrize(("width", "bridged"), [(16, True), (20, False)])
def test_in_the_middle_of_much_void_there_is_no_boundary(width, bridged):
    """Twice the tolerance are 9 pixels from either side."""
    truth = halves(200, (360, 480))
    truth[:, 200 - width // 2 : 200 + width // 2] = VOID
    scores = boundary_f1(truth, halves(200, (360, 480)), num_classes=2, ignore_label=VOID)
    np.testing.assert_array_equal(scores, [1.0, 1.0] if bridged else [np.nan, np.nan])


def test_a_class_that_is_not_found_scores_zero_and_one_that_is_not_there_nothing():
    scores = boundary_f1(halves(30), np.full((40, 60), 2, np.uint8), num_classes=3, ignore_label=VOID)
    np.testing.assert_array_equal(scores, [0.0, 0.0, np.nan])


@pytest.mark.parametrize("labels", [np.zeros((5, 5), np.uint8), np.full((5, 5), VOID, np.uint8)])
def test_an_image_without_boundaries_has_no_score(labels):
    """Nor where the prediction has some: else it would be averaged over other images than a better one."""
    for predicted in (np.zeros((5, 5), np.uint8), halves(2, (5, 5))):
        assert np.isnan(boundary_f1(labels, predicted, num_classes=2, ignore_label=VOID)).all()


def test_shapes_in_rims_of_void_have_boundaries():
    """At its own size, and stretched to three times that, the rim with it."""
    dataset, seen = build_shapes(num_train=8, num_val=1), 0
    for index in range(8):
        for times in (1, 3):
            truth = np.kron(dataset.read("train", index)[1], np.ones((times, times), np.uint8))
            of_case = {"num_classes": 5, "ignore_label": VOID}
            perfect = boundary_f1(truth, np.where(truth == VOID, 0, truth).astype(np.uint8), **of_case)
            present = np.unique(truth[truth != VOID])
            np.testing.assert_array_equal(np.flatnonzero(perfect == 1.0), present)
            shifted = np.roll(np.where(truth == VOID, 0, truth), 2 * times, axis=1).astype(np.uint8)
            for class_id in present:
                assert 0 < boundary_f1(truth, shifted, **of_case)[class_id] < 1
                seen += 1
    assert seen >= 32


def test_the_shapes_of_truth_and_prediction_have_to_agree():
    with pytest.raises(ValueError, match=r"one shape\. Received: \(4, 6\), \(6, 4\)"):
        boundary_f1(np.zeros((4, 6), np.uint8), np.zeros((6, 4), np.uint8), num_classes=2, ignore_label=VOID)
