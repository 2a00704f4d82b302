"""The pictures of what is predicted worst, decoded from the pages they stand in."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.evaluation.split_scores import evaluate_split
from segtrain.reports.evaluation_page import write_evaluation_page
from segtrain.reports.pictures import RIGHT_COLOUR, VOID_COLOUR, WRONG_COLOUR
from segtrain.reports.score_gallery import CLASSES_SHOWN, FOUND_COLOUR, INVENTED_COLOUR, draw_gallery
from segtrain.run_folder import RunFolder

PALETTE = [(10, 20, 30), (200, 0, 0), (0, 200, 0)]
VOID = 255


@pytest.fixture(autouse=True)
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use."""


class Samples:
    def __init__(self, dataset, count):
        self.dataset, self.count = dataset, count

    def __len__(self):
        return self.count

    def name(self, index):
        return f"scene <{index}>"


class Predictions:
    """Truths and predictions by hand, with grey images. Implements `Predictions`."""

    def __init__(self, pairs, class_names=("ground", "red", "green"), palette=PALETTE):
        dataset = SegmentationDataset("hand", {}, list(class_names), VOID, palette)
        self.samples, self.pairs = Samples(dataset, len(pairs)), pairs

    def __iter__(self):
        return iter(self.pairs)

    def predict(self, index):
        truth, predicted = self.pairs[index]
        return np.full((*truth.shape, 3), 90 + index, np.uint8), truth, predicted


def labels(*rows):
    return np.array(rows, np.uint8)


TRUTH = labels([1, 1, 0], [1, 0, VOID])
ANSWER = labels([1, 0, 1], [1, 0, 2])


@pytest.fixture
def evaluate(tmp_path):
    def evaluate(predictions):
        scores = evaluate_split(predictions, "segtrain", tmp_path / "per_image.csv")
        return scores, draw_gallery(predictions, scores.extremes, scores.scores.per_class_iou)

    return evaluate


def decoded(source):
    head, _, data = source.partition(";base64,")
    assert head in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_a_row_is_input_truth_prediction_and_errors(evaluate):
    _, gallery = evaluate(Predictions([(TRUTH, ANSWER)]))
    (row,) = gallery.worst
    image, truth, prediction, errors = map(decoded, row.sources)
    assert image.shape == (2, 3, 3)
    assert abs(image.astype(int) - 90).max() <= 2  # a JPEG
    colours = np.full((256, 3), VOID_COLOUR, np.uint8)
    colours[:3] = PALETTE
    np.testing.assert_array_equal(truth, colours[TRUTH])
    np.testing.assert_array_equal(prediction, colours[ANSWER])
    right, wrong, void = RIGHT_COLOUR, WRONG_COLOUR, VOID_COLOUR
    np.testing.assert_array_equal(errors, np.uint8([[right, wrong, wrong], [right, right, void]]))


def test_a_class_is_found_missed_or_invented(evaluate):
    _, gallery = evaluate(Predictions([(TRUTH, ANSWER)]))
    (example,) = gallery.of_class[1]
    assert (example.name, example.score) == ("scene <0>", pytest.approx(2 / 4))
    other, found, missed = RIGHT_COLOUR, FOUND_COLOUR, WRONG_COLOUR
    expected = [[found, missed, INVENTED_COLOUR], [found, other, VOID_COLOUR]]
    np.testing.assert_array_equal(decoded(example.sources[1]), np.uint8(expected))


def test_the_worst_come_first_and_a_class_has_its_worst_and_best(evaluate):
    """Of eleven images, the one at place i has i of its ten pixels right."""
    pairs = []
    for right in (3, 7, 0, 10, 5, 1, 9, 2, 8, 4, 6):
        answer = np.zeros((1, 10), np.uint8)
        answer[:, right:] = 1
        pairs.append((np.zeros((1, 10), np.uint8), answer))
    _, gallery = evaluate(Predictions(pairs))
    assert [row.name for row in gallery.worst] == [f"scene <{place}>" for place in (2, 5, 7, 0, 9, 4, 10, 1)]
    assert [example.name for example in gallery.of_class[0]] == ["scene <2>", "scene <3>"]
    assert 2 not in gallery.of_class  # in neither truth nor prediction
    assert gallery.num_found == 2


def test_large_images_are_shown_small(evaluate):
    truth = np.zeros((900, 600), np.uint8)
    truth[450:] = 1
    _, gallery = evaluate(Predictions([(truth, truth)]))
    assert decoded(gallery.worst[0].sources[1]).shape == (320, 213, 3)
    assert decoded(gallery.of_class[1][0].sources[1]).shape == (200, 133, 3)


def test_of_many_classes_the_worst_have_pictures(evaluate):
    many = CLASSES_SHOWN + 6
    truth = np.arange(many, dtype=np.uint8)[None].repeat(4, axis=0)
    answer = truth.copy()
    answer[:3, many - 1] = 0
    names, palette = [f"kind {number}" for number in range(many)], [(number, 0, 0) for number in range(many)]
    _, gallery = evaluate(Predictions([(truth, answer)], names, palette))
    assert len(gallery.of_class) == CLASSES_SHOWN
    assert many - 1 in gallery.of_class
    assert gallery.num_found == many


CONTRACT = {"evaluated_at": "2x3", "num_classes": 3, "ignore_label": VOID, "convention": "segtrain", "rule": "a rule",
            "boundary": "of a kind"}  # fmt: skip


@pytest.fixture
def page(tmp_path, evaluate, read_page):
    predictions = Predictions([(TRUTH, ANSWER), (TRUTH, TRUTH % 2)])
    scores, _ = evaluate(predictions)
    names = predictions.samples.dataset.class_names
    results = {
        "val": scores.as_dict(names),
        "run": "outputs/a",
        "model": "segnet",
        "dataset": {"name": "hand", "class_names": names, "palette": PALETTE},
        "metric_contract": CONTRACT,
        "seconds": 1.0,
        "environment": {"segtrain": "0.1.0"},
        "command": "segtrain evaluate outputs/a",
    }
    folder = RunFolder(tmp_path / "evaluation")
    write_evaluation_page(folder, results, "val", scores, predictions)
    return read_page(folder.report)


def test_an_evaluations_page_shows_all_and_loads_nothing(page):
    assert "scene <0>" in page.text
    assert "Boundary F1: of a kind." in page.text
    assert "Shown are" not in page.text  # no class is left out
    assert page.count("img") == 2 * 4 + 2 * 2 * 2  # a row of four an image; two pictures of each end of two classes
    assert [load for load in page.loads if not load.startswith(("data:image/", "#"))] == []
    assert page.count("script") == page.count("link") == 0
    (table,) = [table for table in page.tables if table[0][0] == "class"]
    assert [row[0] for row in table[1:]] == ["ground", "red", "green"]
    assert page.text.index("Confusion matrix") < page.text.index("Worst images")


def test_an_evaluations_page_fits_a_phone(page, width_on_a_phone):
    assert width_on_a_phone(page.source) <= 390
