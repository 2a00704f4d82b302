"""Scores of a split against scikit-learn and the csv module."""

import csv
import math
import statistics
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics

from segtrain.evaluation.boundary_f1 import boundary_f1
from segtrain.evaluation.image_counts import read_image_counts
from segtrain.evaluation.image_scores import PIXELS_AT_ONCE, count_pixels
from segtrain.evaluation.split_scores import evaluate_split
from segtrain.machine import usable_cores

NAMES = ["sky", "road", "car, red", "name"]
VOID = 9


class MadeUp:
    """Truth and prediction of images of many sizes. Implements `Predictions`."""

    def __init__(self, pairs):
        self.pairs = pairs
        dataset = SimpleNamespace(num_classes=len(NAMES), ignore_label=VOID, class_names=NAMES)
        self.samples = SimpleNamespace(dataset=dataset, name=lambda index: f"image {index}")

    def __iter__(self):
        return iter(self.pairs)


def blocks(seed, classes, size):
    """Labels in blocks, some of which the prediction gets wrong, and some void."""
    rng = np.random.default_rng(seed)
    height, width = size
    coarse = rng.choice(classes, (height // 4 + 1, width // 4 + 1))
    truth = np.kron(coarse, np.ones((4, 4), int))[:height, :width].astype(np.uint8)
    predicted = np.where(rng.random(size) < 0.2, rng.choice(classes, size), np.roll(truth, 1, axis=1)).astype(np.uint8)
    return np.where(rng.random(size) < 0.1, np.uint8(VOID), truth), predicted


@pytest.fixture(scope="module")
def pairs():
    sizes = [(20, 30), (31, 17), (8, 50), (24, 24), (40, 12)]
    classes = [[0, 1], [0, 1, 2], [1], [0, 2], [0, 1, 2]]
    made = [blocks(seed, *of_image) for seed, of_image in enumerate(zip(classes, sizes, strict=True))]
    return [*made, (np.full((5, 7), VOID, np.uint8), np.zeros((5, 7), np.uint8))]


def valid(truth, predicted):
    return truth[truth != VOID], predicted[truth != VOID]


@pytest.mark.parametrize("convention", ["segtrain", "absent_as_one", "absent_as_zero", "per_image"])
def test_scores_are_those_of_all_pixels(pairs, tmp_path, convention):
    scores = evaluate_split(MadeUp(pairs), convention, tmp_path / "per_image.csv")
    truth, predicted = (np.concatenate(part) for part in zip(*(valid(*pair) for pair in pairs), strict=True))
    np.testing.assert_array_equal(
        scores.confusion_matrix, sklearn.metrics.confusion_matrix(truth, predicted, labels=range(4))
    )
    of_images = [valid(*pair) for pair in pairs[:-1]]
    accuracies = [np.mean(labels == guesses) for labels, guesses in of_images]
    assert scores.mean_image_accuracy == pytest.approx(statistics.fmean(accuracies))
    of_each = {
        "segtrain": {"labels": range(3)},
        "absent_as_one": {"labels": range(4), "zero_division": 1.0},
        "absent_as_zero": {"labels": range(4), "zero_division": 0.0},
    }
    if convention == "per_image":
        expected = np.mean([sklearn.metrics.jaccard_score(*pair, average="macro") for pair in of_images])
    else:
        expected = sklearn.metrics.jaccard_score(truth, predicted, average="macro", **of_each[convention])
    assert scores.scores.mean_iou == pytest.approx(expected)
    assert (scores.num_images, scores.as_dict(NAMES)["absent_classes"]) == (6, ["name"])


def test_boundaries_are_averaged_over_classes_then_images(pairs, tmp_path):
    scores = evaluate_split(MadeUp(pairs), "segtrain", tmp_path / "per_image.csv")
    of_images = [boundary_f1(*pair, num_classes=4, ignore_label=VOID) for pair in pairs]
    known = [[value for value in image if not math.isnan(value)] for image in of_images]
    means = [statistics.fmean(values) for values in known if values]
    assert len(means) == 4
    assert scores.boundary_f1 == pytest.approx(statistics.fmean(means))
    of_car = [image[2] for image in of_images if not math.isnan(image[2])]
    assert scores.per_class_boundary_f1[2] == pytest.approx(statistics.fmean(of_car))
    assert math.isnan(scores.per_class_boundary_f1[3])


def test_the_csv_has_a_row_for_each_image(pairs, tmp_path):
    path = tmp_path / "per_image.csv"
    evaluate_split(MadeUp(pairs), "absent_as_one", path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[7:] == ["iou_sky", "iou_road", "iou_car, red", "iou_name"]
    assert [row["name"] for row in rows] == [f"image {number}" for number in range(6)]
    for row, pair in zip(rows[:-1], pairs, strict=False):
        truth, predicted = valid(*pair)
        assert (int(row["height"]), int(row["width"])) == pair[0].shape
        assert int(row["valid_pixels"]) == len(truth)
        assert float(row["pixel_accuracy"]) == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted))
        assert float(row["mean_iou"]) == pytest.approx(sklearn.metrics.jaccard_score(truth, predicted, average="macro"))
        for class_id, name in enumerate(NAMES):
            if class_id in truth or class_id in predicted:
                expected = sklearn.metrics.jaccard_score(truth, predicted, labels=[class_id], average="macro")
                assert float(row[f"iou_{name}"]) == pytest.approx(expected)
            else:
                assert row[f"iou_{name}"] == ""
    assert set(list(rows[-1].values())[4:]) == {""}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["per_image.csv", "per_image.npz"]


def test_the_counts_of_each_image_are_kept(pairs, tmp_path):
    evaluate_split(MadeUp(pairs), "segtrain", tmp_path / "per_image.csv")
    counts = read_image_counts(tmp_path / "per_image.npz")
    assert counts.names == [f"image {number}" for number in range(6)]
    assert counts.class_names == NAMES
    for pixels, boundary, pair in zip(counts.pixels, counts.boundary_f1, pairs, strict=True):
        truth, predicted = valid(*pair)
        for class_id in range(4):
            is_true, is_predicted = truth == class_id, predicted == class_id
            assert pixels[class_id].tolist() == [each.sum() for each in (is_true & is_predicted, is_true, is_predicted)]
        known = boundary_f1(*pair, num_classes=4, ignore_label=VOID)
        known = known[~np.isnan(known)]
        assert boundary == pytest.approx(known.mean() if len(known) else math.nan, nan_ok=True)


def test_an_evaluation_that_fails_leaves_no_rows(pairs, tmp_path):
    def failing():
        yield from pairs[:3]
        raise ValueError("image 3 cannot be read")

    with pytest.raises(ValueError, match="image 3"):
        evaluate_split(MadeUp(failing()), "segtrain", tmp_path / "per_image.csv")
    assert list(tmp_path.iterdir()) == []


def test_images_are_let_go(tmp_path):
    """Of 200 images no more than a few are held at a time."""
    made, gone, most = 0, [], 0

    class Labels(np.ndarray):
        pass

    def many():
        nonlocal made, most
        for _ in range(200):
            truth = np.zeros((8, 8), np.uint8).view(Labels)
            weakref.finalize(truth, gone.append, 1)
            made += 1
            most = max(most, made - len(gone))
            yield truth, np.zeros((8, 8), np.uint8)
            del truth

    scores = evaluate_split(MadeUp(many()), "segtrain", tmp_path / "per_image.csv")
    assert scores.num_images == 200
    assert 1 <= most <= 2 * usable_cores() + 2


def test_a_large_image_is_counted_in_parts():
    rng = np.random.default_rng(0)
    size = (PIXELS_AT_ONCE // 500 + 3, 1001)
    truth, predicted = rng.choice([0, 1, 2, VOID], size).astype(np.uint8), rng.integers(0, 4, size, np.uint8)
    np.testing.assert_array_equal(
        count_pixels(truth, predicted, num_classes=4, ignore_label=VOID),
        sklearn.metrics.confusion_matrix(*valid(truth, predicted), labels=range(4)),
    )
