"""Scores, against scikit-learn's."""

import dataclasses
import json

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segtrain.evaluation.boundary_f1 import TOLERANCE
from segtrain.training.scores import MeanOverImages, metric_contract, scores_of

NAMES = ["a", "b", "c", "d", "e", "f"]


def random_pixels(seed, true_classes, predicted_classes):
    rng = np.random.default_rng(seed)
    truth, guess = rng.choice(true_classes, 200), rng.choice(predicted_classes, 200)
    right = (rng.random(200) < 0.5) & np.isin(truth, predicted_classes)
    return truth, np.where(right, truth, guess)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("true_classes", "predicted_classes"),
    [(range(6), range(6)), ([0, 2, 5], [0, 2, 5]), ([0, 1, 2], [2, 3]), ([4], [1, 2]), ([3], [3])],
    ids=["all", "three absent", "few in common", "all wrong", "all right"],
)
def test_equal_scikit_learns(seed, true_classes, predicted_classes):
    truth, predicted = random_pixels(seed, true_classes, predicted_classes)
    scores = scores_of(sklearn.metrics.confusion_matrix(truth, predicted, labels=range(6)))
    seen = np.union1d(truth, predicted)
    expected = np.full(6, np.nan)
    expected[seen] = sklearn.metrics.jaccard_score(truth, predicted, labels=seen, average=None)
    np.testing.assert_allclose(scores.per_class_iou, expected)
    mean = sklearn.metrics.jaccard_score(truth, predicted, labels=seen, average="macro")
    assert scores.mean_iou == pytest.approx(mean)
    assert scores.pixel_accuracy == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted))
    recall = sklearn.metrics.recall_score(truth, predicted, labels=np.unique(truth), average="macro")
    assert scores.mean_class_accuracy == pytest.approx(recall)
    dice = sklearn.metrics.f1_score(truth, predicted, labels=seen, average="macro")
    assert scores.mean_dice == pytest.approx(dice)
    weighted = sklearn.metrics.jaccard_score(truth, predicted, labels=np.unique(truth), average="weighted")
    assert scores.frequency_weighted_iou == pytest.approx(weighted)


def test_no_pixel_at_all_has_no_score():
    scores = scores_of(np.zeros((6, 6), np.int64))
    assert np.isnan([scores.mean_iou, scores.pixel_accuracy, scores.mean_class_accuracy, *scores.per_class_iou]).all()
    plain = scores.as_dict(NAMES)
    assert plain.pop("per_class_iou") == dict.fromkeys(NAMES)
    assert plain.pop("absent_classes") == NAMES
    assert plain == dict.fromkeys(
        ["mean_iou", "pixel_accuracy", "mean_class_accuracy", "frequency_weighted_iou", "mean_dice"]
    )


def test_counts_too_large_for_float32_are_exact():
    many = 2**24
    scores = scores_of(np.array([[many, 1], [0, many]], np.int64))
    assert scores.pixel_accuracy == 2 * many / (2 * many + 1) < 1
    assert scores.per_class_iou[0] == many / (many + 1) < 1


def test_as_dict_is_plain_numbers_by_class_name():
    scores = scores_of(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]], np.int64))
    plain = json.loads(json.dumps(scores.as_dict(["sky", "road", "never"]), allow_nan=False))
    assert plain == {
        "mean_iou": pytest.approx((3 / 4 + 4 / 5) / 2),
        "pixel_accuracy": 7 / 8,
        "mean_class_accuracy": pytest.approx((3 / 4 + 1) / 2),
        "frequency_weighted_iou": pytest.approx(3 / 4 / 2 + 4 / 5 / 2),
        "mean_dice": pytest.approx((6 / 7 + 8 / 9) / 2),
        "per_class_iou": {"sky": 3 / 4, "road": 4 / 5, "never": None},
        "absent_classes": ["never"],
    }


@pytest.mark.parametrize(("convention", "of_absent"), [("absent_as_one", 1), ("absent_as_zero", 0)])
@pytest.mark.parametrize(
    ("true_classes", "predicted_classes"), [(range(6), range(6)), ([0, 2, 5], [0, 2, 5]), ([4], [1, 2]), ([3], [3])]
)
def test_absent_classes_count_what_the_convention_says(convention, of_absent, true_classes, predicted_classes):
    truth, predicted = random_pixels(0, true_classes, predicted_classes)
    scores = scores_of(sklearn.metrics.confusion_matrix(truth, predicted, labels=range(6)), convention)
    of_all = {"labels": range(6), "average": "macro", "zero_division": of_absent}
    assert scores.mean_iou == pytest.approx(sklearn.metrics.jaccard_score(truth, predicted, **of_all))
    assert scores.mean_dice == pytest.approx(sklearn.metrics.f1_score(truth, predicted, **of_all))
    assert scores.mean_class_accuracy == pytest.approx(sklearn.metrics.recall_score(truth, predicted, **of_all))
    nowhere = sorted(set(range(6)) - {*truth, *predicted})
    assert np.flatnonzero(scores.is_absent).tolist() == nowhere


def test_a_mean_over_images_is_that_of_each_images_scores():
    cases = [random_pixels(seed, classes, classes) for seed, classes in enumerate(([0, 1], range(6), [3], [0, 2, 5]))]
    mean = MeanOverImages(6)
    mean.add(scores_of(np.zeros((6, 6), np.int64)))  # an image of nothing but void
    for truth, predicted in cases:
        mean.add(scores_of(sklearn.metrics.confusion_matrix(truth, predicted, labels=range(6))))
    scores = mean.result()
    ious = [sklearn.metrics.jaccard_score(*case, average="macro") for case in cases]
    assert scores.mean_iou == pytest.approx(np.mean(ious))
    assert scores.pixel_accuracy == pytest.approx(np.mean([sklearn.metrics.accuracy_score(*case) for case in cases]))
    of_class = [
        sklearn.metrics.jaccard_score(truth, predicted, labels=[5], average="macro")
        for truth, predicted in cases
        if 5 in truth or 5 in predicted
    ]
    assert len(of_class) == 2
    assert scores.per_class_iou[5] == pytest.approx(np.mean(of_class))
    assert not scores.is_absent.any()
    assert np.isnan(MeanOverImages(6).result().mean_iou)


def test_contract_states_what_the_number_depends_on(shapes_dataset):
    contract = metric_contract(shapes_dataset, (360, 480))
    assert contract["num_classes"] == 5
    assert contract["ignore_label"] == 255
    assert "void" in contract["rule"]
    assert "absent" in contract["rule"]


@pytest.mark.parametrize(
    ("size", "resize", "words"),
    [
        ((96, 128), "stretch", "96x128 (height x width), the network's size; images stretched"),
        ((96, 128), "letterbox", "96x128 (height x width), the network's size; images letterboxed"),
        ([96, 96], "crop_square", "96x96 (height x width), the network's size; images cropped to their largest"),
        (None, "stretch", "each image's own size"),
    ],
)
def test_contract_states_at_what_size(shapes_dataset, size, resize, words):
    dataset = dataclasses.replace(shapes_dataset, resize=resize)
    assert metric_contract(dataset, size)["evaluated_at"].startswith(words)


@pytest.mark.parametrize(
    ("size", "stride", "words"),
    [
        ((96, 128), 2, "48x64, the size of the logits for images of 96x128 (height x width); images stretched"),
        ((225, 223), 4, "57x56, the size of the logits for images of 225x223 (height x width); images stretched"),
        ((96, 128), 1, "96x128 (height x width), the network's size; images stretched"),
        (None, 2, "each image's own size divided by 2, that of the logits"),
        (None, 1, "each image's own size"),
    ],
)
def test_contract_states_the_size_of_logits_that_are_fewer(shapes_dataset, size, stride, words):
    assert metric_contract(shapes_dataset, size, logits_stride=stride)["evaluated_at"] == words


@pytest.mark.parametrize(
    ("resize", "words"),
    [
        ("stretch", "from logits at 96x96 (height x width), the network's size"),
        ("letterbox", "from logits of the image fitted into 96x96 (height x width), the network's size"),
        ("crop_square", "from logits of the whole image, scaled as its largest part of that aspect ratio is to 96x96"),
    ],
)
def test_contract_states_what_the_network_saw_of_an_image_at_its_own_size(shapes_dataset, resize, words):
    dataset = dataclasses.replace(shapes_dataset, resize=resize)
    evaluated_at = metric_contract(dataset, (96, 96), scale="original")["evaluated_at"]
    assert evaluated_at.startswith(f"each image's own size, {words}")
    tiled = metric_contract(dataset, (96, 96), scale="original", sliding_window=(64, 64), overlap=0.5)["evaluated_at"]
    assert tiled == "each image's own size; seen in windows of 64x64 that overlap by 50%"


@pytest.mark.parametrize(
    ("tta", "words"),
    [
        (["flip", "flip"], "averaged over the image and its mirror image"),
        (["scales"], "averaged over scales 0.75, 1 and 1.25"),
        (["scales", "flip"], "averaged over the image and its mirror image at scales 0.75, 1 and 1.25"),
    ],
)
def test_contract_states_what_was_averaged(shapes_dataset, tta, words):
    contract = metric_contract(shapes_dataset, (96, 96), tta=tta)
    assert contract["evaluated_at"].endswith(f"; {words}")
    assert contract["tta"] == list(dict.fromkeys(tta))


def test_contract_states_how_boundaries_count(shapes_dataset):
    """The share is the one that is measured with."""
    assert f"{TOLERANCE * 100:g} % of the diagonal" in metric_contract(shapes_dataset, (96, 96))["boundary"]


def plain_scores(truth, predicted, num_classes, of_absent):
    """All scores of one image or split in plain loops; None is no score."""
    valid = [(t, p) for t, p in zip(truth, predicted, strict=True) if t != 255]
    ious, accuracies, dices, weighted = [], [], [], 0.0
    for each in range(num_classes):
        both = sum(t == each and p == each for t, p in valid)
        of_truth, of_prediction = sum(t == each for t, _ in valid), sum(p == each for _, p in valid)
        ious.append(both / (of_truth + of_prediction - both) if of_truth + of_prediction else of_absent)
        dices.append(2 * both / (of_truth + of_prediction) if of_truth + of_prediction else of_absent)
        accuracies.append(both / of_truth if of_truth else of_absent)
        weighted += of_truth * (ious[-1] or 0)
    return {
        "mean_iou": mean_of(ious),
        "pixel_accuracy": sum(t == p for t, p in valid) / len(valid) if valid else None,
        "mean_class_accuracy": mean_of(accuracies),
        "frequency_weighted_iou": weighted / len(valid) if valid else None,
        "mean_dice": mean_of(dices),
        "per_class_iou": dict(zip("abcd", ious, strict=True)),
    }


def mean_of(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


IMAGES = st.lists(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 255]), st.integers(0, 3)), min_size=1, max_size=12),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(IMAGES, st.sampled_from(["segtrain", "absent_as_one", "absent_as_zero", "per_image"]))
@example([[(255, 0), (255, 3)]], "segtrain")  # all void
@example([[(255, 0)], [(1, 1)]], "per_image")  # one image all void
@example([[(2, 2), (2, 2)]], "absent_as_one")  # one class
@example([[(0, 3), (0, 0)]], "absent_as_zero")  # a class predicted, but absent
def test_every_convention_equals_plain_loops(images, convention):
    def matrix(pixels):
        counts = np.zeros((4, 4), np.int64)
        for truth, predicted in pixels:
            if truth != 255:
                counts[truth, predicted] += 1
        return counts

    of_absent = {"absent_as_one": 1.0, "absent_as_zero": 0.0}.get(convention)
    if convention == "per_image":
        mean = MeanOverImages(4)
        for pixels in images:
            mean.add(scores_of(matrix(pixels)))
        scores = mean.result()
        each = [plain_scores(*zip(*pixels, strict=True), 4, None) for pixels in images]
        expected = {name: mean_of(one[name] for one in each) for name in each[0] if name != "per_class_iou"}
        expected["per_class_iou"] = {name: mean_of(one["per_class_iou"][name] for one in each) for name in "abcd"}
    else:
        scores = scores_of(sum(map(matrix, images)), convention)
        expected = plain_scores(*zip(*(pixel for pixels in images for pixel in pixels), strict=True), 4, of_absent)
    plain = scores.as_dict("abcd")
    seen = {each for pixels in images for pixel in pixels if pixel[0] != 255 for each in pixel}
    assert plain.pop("absent_classes") == [name for number, name in enumerate("abcd") if number not in seen]
    iou, expected_iou = plain.pop("per_class_iou"), expected.pop("per_class_iou")
    assert plain == pytest.approx(expected)
    assert iou == pytest.approx(expected_iou)
