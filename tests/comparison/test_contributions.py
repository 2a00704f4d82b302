"""Scores made up from counts against those of confusion matrices, and contributions against leaving images out."""

import numpy as np
import pytest

from segtrain.comparison.contributions import contributions
from segtrain.evaluation.image_counts import ImageCounts, pixels_of
from segtrain.training.scores import MeanOverImages, scores_of

CONVENTIONS = ["segtrain", "absent_as_one", "absent_as_zero", "per_image"]
CLASSES = 5


def make_matrices(num_images=12):
    """Confusion matrices of images; class 3 is in the truth of one image alone, class 4 nowhere."""
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 40, (num_images, CLASSES, CLASSES)) + 200 * np.eye(CLASSES, dtype=np.int64)
    matrices[rng.random((num_images, CLASSES)) < 0.3] = 0
    matrices[1:, 3] = matrices[:, :, 3] = matrices[:, 4] = matrices[:, :, 4] = 0
    matrices[0, 3] = [7, 0, 0, 90, 0]
    matrices[2] = 0  # void alone
    return matrices


def make_counts(matrices):
    boundary_f1 = np.random.default_rng(1).random(len(matrices))
    boundary_f1[matrices.sum(axis=(1, 2)) == 0] = np.nan
    return ImageCounts([str(each) for each in range(len(matrices))], list("abcde"), pixels(matrices), boundary_f1)


def pixels(matrices):
    return np.array([pixels_of(matrix) for matrix in matrices]).reshape(len(matrices), -1, 3)


def score(matrices, convention):
    if convention != "per_image":
        scores = scores_of(matrices.sum(axis=0), convention)
    else:
        mean = MeanOverImages(CLASSES)
        for matrix in matrices:
            mean.add(scores_of(matrix))
        scores = mean.result()
    return [scores.mean_iou, scores.pixel_accuracy, *scores.per_class_iou]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_values_are_the_runs_own_scores(convention):
    matrices = make_matrices()
    counts = make_counts(matrices)
    found = contributions(counts, convention)
    assert found.measures == ["mean_iou", "pixel_accuracy", "boundary_f1", *(f"iou_{name}" for name in "abcde")]
    np.testing.assert_allclose(np.delete(found.values, 2), score(matrices, convention))
    assert found.values[2] == pytest.approx(np.nanmean(counts.boundary_f1))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_contributions_are_what_leaving_an_image_out_changes(convention):
    # Without the class of one image: without that image it has no score.
    matrices = make_matrices()[1:]
    scores = np.array(score(matrices, convention))
    without = np.array([score(np.delete(matrices, each, axis=0), convention) for each in range(len(matrices))])
    expected = (len(matrices) - 1) * (scores - without)
    expected -= expected.mean(axis=0)
    found = contributions(make_counts(matrices), convention)
    np.testing.assert_allclose(np.delete(found.of_images, 2, axis=1), np.nan_to_num(expected), atol=1e-12)
    assert np.abs(found.of_images).max() > 0.01


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_boundary_f1_is_a_mean_that_leaves_out_images_without_it(convention):
    counts = make_counts(make_matrices())
    scores = counts.boundary_f1
    assert np.isnan(scores).sum() == 1
    without = np.array([np.nanmean(np.delete(scores, each)) for each in range(len(scores))])
    expected = (len(scores) - 1) * (np.nanmean(scores) - without)
    found = contributions(counts, convention)
    np.testing.assert_allclose(found.of_images[:, 2], expected - expected.mean(), atol=1e-12)
    assert found.freedom[2] == len(scores) - 2


def test_the_freedom_of_a_class_is_that_of_the_images_that_have_it():
    matrices = make_matrices()
    found = contributions(make_counts(matrices))
    has_class = matrices.sum(axis=2) > 0
    np.testing.assert_array_equal(found.freedom[3:], has_class.sum(axis=0) - 1)
    assert found.freedom[1] == has_class.any(axis=1).sum() - 1
    assert found.freedom[3 + 3] == 0


def test_the_freedom_of_a_mean_over_images_is_that_of_the_images_that_have_a_score():
    """Where a class is predicted alone its IoU is 0, and counts."""
    matrices = make_matrices()
    found = contributions(make_counts(matrices), "per_image")
    has_score = (matrices.sum(axis=2) + matrices.sum(axis=1)) > 0
    assert has_score.sum() > (matrices.sum(axis=2) > 0).sum()
    np.testing.assert_array_equal(found.freedom[3:], has_score.sum(axis=0) - 1)
    assert found.freedom[0] == has_score.any(axis=1).sum() - 1


def test_the_freedom_of_the_mean_is_near_a_rare_class_that_varies_most():
    rng = np.random.default_rng(0)
    matrices = np.array([np.diag(rng.integers(450, 550, 2)) + rng.integers(45, 55, (2, 2)) for _ in range(50)])
    of_all = contributions(ImageCounts([""] * 50, ["a", "b"], pixels(matrices), np.zeros(50))).freedom[0]
    assert of_all == 49
    matrices[4:, 1] = 0
    matrices[:4, 1] = [[20, 5], [5, 20], [9, 10], [1, 30]]
    counts = ImageCounts([""] * 50, ["a", "b"], pixels(matrices), np.zeros(50))
    found = contributions(counts)
    variances = found.of_images[:, 3:].var(axis=0)
    expected = variances.sum() ** 2 / (variances[0] ** 2 / 49 + variances[1] ** 2 / 3)
    assert found.freedom[0] == pytest.approx(expected)
    assert 3 < expected < 4
    assert contributions(counts, "per_image").freedom[0] == 49  # each image has its own mean
    with_one_more = np.concatenate([counts.pixels, np.zeros((50, 1, 3), np.uint32)], axis=1)
    with_one_more[7, 2] = 5  # a class of one image, which moves nothing
    found = contributions(ImageCounts([""] * 50, ["a", "b", "c"], with_one_more, np.zeros(50)))
    assert found.freedom[0] == pytest.approx(expected)


def test_a_class_of_one_image_contributes_nothing():
    found = contributions(make_counts(make_matrices()))
    assert found.values[3 + 3] > 0.8
    assert not found.of_images[:, 3 + 3].any()


@pytest.mark.parametrize("convention", ["segtrain", "absent_as_one"])
def test_their_variance_is_that_of_a_bootstrap_over_images(convention):
    rng = np.random.default_rng(0)
    matrices = make_matrices(60)[1:]
    found = contributions(make_counts(matrices), convention).of_images
    resampled = [score(matrices[rng.integers(0, len(matrices), len(matrices))], convention)[:2] for _ in range(400)]
    expected = np.std(resampled, axis=0)
    np.testing.assert_allclose(found[:, :2].std(axis=0, ddof=1) / np.sqrt(len(matrices)), expected, rtol=0.12)


def test_one_image_is_no_error():
    found = contributions(make_counts(make_matrices()[3:4]))
    assert found.of_images.shape == (1, 3 + CLASSES)
    assert not found.of_images.any()
    assert found.values[0] > 0


def test_a_convention_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="absent_as_zero is required, not mean"):
        contributions(make_counts(make_matrices()), "mean")
