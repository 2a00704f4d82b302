"""The images to look at, against a plain sort."""

import numpy as np
import pytest

from segtrain.evaluation.extremes import OF_ALL, OF_CLASS, Extremes
from segtrain.evaluation.image_scores import score_image


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    made = []
    for number in range(40):
        truth = rng.integers(0, 3 if number % 2 else 2, (6, 6), np.uint8)
        predicted = np.where(rng.random((6, 6)) < number / 40, truth, rng.integers(0, 3, (6, 6))).astype(np.uint8)
        made.append(score_image(truth, predicted, num_classes=4, ignore_label=255))
    return made


@pytest.fixture(scope="module")
def extremes(images):
    extremes = Extremes(4)
    for index, image in enumerate(images):
        extremes.add(index, f"image {index}", image)
    return extremes


def test_they_are_the_ends_of_a_sorted_list(images, extremes):
    by_iou = sorted(image.scores.mean_iou for image in images)
    assert [image.score for image in extremes.worst] == by_iou[:OF_ALL]
    assert [image.score for image in extremes.best] == by_iou[::-1][:OF_ALL]
    assert all(images[image.index].scores.mean_iou == image.score for image in (*extremes.worst, *extremes.best))
    for class_id in range(3):
        ious = sorted(
            image.scores.per_class_iou[class_id]
            for image in images
            if not np.isnan(image.scores.per_class_iou[class_id])
        )
        assert [image.score for image in extremes.worst_of(class_id)] == ious[:OF_CLASS]
        assert [image.score for image in extremes.best_of(class_id)] == ious[::-1][:OF_CLASS]


def test_a_class_that_is_nowhere_has_none(extremes):
    assert extremes.worst_of(3) == extremes.best_of(3) == []
    assert extremes.as_dict(["a", "b", "c", "d"])["worst_of_class"]["d"] == []


def test_of_equal_scores_the_larger_mistake_comes_first():
    extremes = Extremes(2)
    for index, missed in enumerate([1, 9, 4]):
        truth = np.zeros((4, 4), np.uint8)
        truth.flat[:missed] = 1
        extremes.add(index, str(index), score_image(truth, truth * 0, num_classes=2, ignore_label=255))
    assert [image.name for image in extremes.worst_of(1)] == ["1", "2", "0"]


def test_what_is_never_found_has_no_best_image():
    extremes = Extremes(2)
    for index, found in enumerate([0, 3]):
        truth, predicted = np.ones((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
        predicted.flat[:found] = 1
        extremes.add(index, str(index), score_image(truth, predicted, num_classes=2, ignore_label=255))
    assert [image.name for image in extremes.best_of(1)] == [image.name for image in extremes.best] == ["1"]
    assert [image.name for image in extremes.worst_of(1)] == [image.name for image in extremes.worst] == ["0", "1"]
    assert (len(extremes.worst_of(0)), extremes.best_of(0)) == (2, [])


def test_an_image_of_void_is_not_ranked():
    extremes = Extremes(2)
    void = np.full((3, 3), 255, np.uint8)
    extremes.add(0, "void", score_image(void, void * 0, num_classes=2, ignore_label=255))
    assert extremes.worst == extremes.best == []
