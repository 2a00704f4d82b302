"""What a network makes of a split, on one device and on two: its scores and predictions, against scikit-learn's."""

import subprocess
import sys
from dataclasses import fields, replace

import keras
import numpy as np
import pytest
import sklearn.metrics

from segtrain.pipeline.samples import Samples
from segtrain.training.evaluator import Evaluator, predict_sample, predict_samples
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.scores import MeanOverImages, scores_of
from segtrain.training.trainer import Trainer

VOID = 255


def all_of(dataset, split):
    return Samples(dataset, split, image_size=(32, 32)).batch(range(len(dataset.split(split))))


def test_validation_is_scored_over_each_pixel_once(finished_run, shapes_dataset, cross_entropy_of_pixels):
    """Ten images in batches of four: what fills the last batch counts nowhere, nor does void."""
    run = finished_run("one")
    images, labels = all_of(shapes_dataset, "val")
    logits = run.model(images.astype(np.float32), training=False).numpy()
    evaluation = run.evaluator.run()
    valid = labels != VOID
    expected = sklearn.metrics.confusion_matrix(labels[valid], logits.argmax(axis=-1)[valid], labels=range(5))
    np.testing.assert_array_equal(evaluation.confusion_matrix, expected)
    assert evaluation.loss == pytest.approx(cross_entropy_of_pixels(labels, logits).mean(), rel=1e-5)


@pytest.mark.parametrize("batch_size", [6, 16])
def test_two_devices_score_as_one_does(finished_run, shapes_dataset, batch_size):
    """Same weights, ten images: neither size divides them."""
    samples = Samples(shapes_dataset, "val", image_size=(32, 32))
    best = finished_run("one").folder.best_model
    evaluations = []
    for strategy in ("one", "mirrored"):
        trainer = finished_run(strategy).trainer
        with trainer.scope():
            model = keras.saving.load_model(best)
        loss = build_cross_entropy(ignore_label=VOID)
        evaluations.append(Evaluator(trainer, model, loss, samples, batch_size).run())
    one, mirrored = evaluations
    np.testing.assert_array_equal(mirrored.confusion_matrix, one.confusion_matrix)
    assert mirrored.loss == pytest.approx(one.loss, rel=1e-6)


@pytest.mark.parametrize("batch_size", [5, 1])
def test_evaluation_refuses_a_batch_that_cannot_be_divided(finished_run, shapes_dataset, batch_size):
    """Rounding it down would leave images out, and say nothing."""
    run = finished_run("mirrored")
    samples = Samples(shapes_dataset, "val", image_size=(32, 32))
    with pytest.raises(ValueError, match="divided among 2 devices"):
        Evaluator(run.trainer, run.model, build_cross_entropy(ignore_label=VOID), samples, batch_size).run()


def test_xla_scores_as_without_it(policy_restored, build_network, shapes_dataset):
    keras.utils.set_random_seed(1)
    samples, loss = Samples(shapes_dataset, "val", image_size=(32, 32)), build_cross_entropy(ignore_label=VOID)
    trainers = [Trainer(strategy="one", jit=jit) for jit in (False, True)]
    model = build_network()
    usual, compiled = (Evaluator(trainer, model, loss, samples, 4).run() for trainer in trainers)
    assert np.count_nonzero(usual.confusion_matrix.sum(axis=0)) > 1  # classes predicted
    np.testing.assert_array_equal(compiled.confusion_matrix, usual.confusion_matrix)
    assert compiled.loss == pytest.approx(usual.loss, rel=1e-5)


MEMORY_OF_AN_EVALUATION = """
import keras
from segtrain.benchmarks.device import peak_memory
from segtrain.datasets.shapes import build_shapes
from segtrain.pipeline.samples import Samples
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.scores import MeanOverImages, scores_of
from segtrain.training.evaluator import Evaluator
from segtrain.training.trainer import Trainer

dataset = build_shapes(num_train=1, num_val=2000, height=64, width=64, cache="none")
images = keras.Input((None, None, 3))
model = keras.Model(images, keras.layers.Conv2D(dataset.num_classes, 1)(images))
loss = build_cross_entropy(ignore_label=dataset.ignore_label)
for count in (200, 2000):
    samples = Samples(dataset, "val", image_size=(64, 64), max_samples=count)
    matrix = Evaluator(Trainer(), model, loss, samples, batch_size=8).run().confusion_matrix
    print(matrix.sum(), peak_memory())
"""


def test_the_memory_of_an_evaluation_does_not_grow_with_the_images():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_OF_AN_EVALUATION], capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr
    (few_pixels, few), (many_pixels, many) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert many_pixels > 9 * few_pixels
    # The logits of the other 1,800 images would take 147 MB, their pixels and labels 29 MB.
    assert many - few < 20e6


# Images at their own sizes, and one by one.


def test_images_of_many_sizes_are_scored_pixel_by_pixel(shapes_of_many_sizes, build_network, cross_entropy_of_pixels):
    """Each pixel counts once, so a large image more than a small one: in the scores as in the loss."""
    keras.utils.set_random_seed(1)
    model, samples = build_network(), Samples(shapes_of_many_sizes, "val", image_size=None)
    evaluator = Evaluator(Trainer(strategy="one"), model, build_cross_entropy(ignore_label=VOID), samples, batch_size=1)
    evaluation = evaluator.run()
    pixels = []
    for index in range(5):
        image, labels = shapes_of_many_sizes.read("val", index)
        logits = model.predict(image[None].astype(np.float32), verbose=0)[0]
        pixels += zip(labels[labels != VOID], logits[labels != VOID], strict=True)
    labels, logits = (np.array(part) for part in zip(*pixels, strict=True))
    expected = sklearn.metrics.confusion_matrix(labels, logits.argmax(axis=-1), labels=range(5))
    np.testing.assert_array_equal(evaluation.confusion_matrix, expected)
    assert np.count_nonzero(expected.sum(axis=0)) > 1
    assert evaluation.loss == pytest.approx(cross_entropy_of_pixels(labels, logits).mean(), rel=1e-5)


@pytest.mark.parametrize(("strategy", "batch_size"), [("one", 4), ("mirrored", 4), ("mirrored", 16)])
def test_predictions_of_samples_are_what_an_evaluator_counts(finished_run, shapes_dataset, strategy, batch_size):
    """Ten images, which neither size divides: what fills the last batch up is not among them."""
    trainer, samples = finished_run(strategy).trainer, Samples(shapes_dataset, "val", image_size=(32, 32))
    with trainer.scope():
        model = keras.saving.load_model(finished_run("one").folder.best_model)
    pairs = list(predict_samples(trainer, model, samples, batch_size))
    assert len(pairs) == 10
    for index, (truth, _) in enumerate(pairs):
        np.testing.assert_array_equal(truth, samples.at_network_size(index)[1])
    evaluation = Evaluator(trainer, model, build_cross_entropy(ignore_label=VOID), samples, batch_size).run()
    truth, predicted = (np.concatenate([pair[of].ravel() for pair in pairs]) for of in (0, 1))
    valid = truth != VOID
    counted = sklearn.metrics.confusion_matrix(truth[valid], predicted[valid], labels=range(5))
    np.testing.assert_array_equal(evaluation.confusion_matrix, counted)


# Scores image by image.


@pytest.mark.parametrize(("strategy", "batch_size"), [("one", 4), ("mirrored", 4), ("mirrored", 16)])
def test_per_image_scores_are_the_mean_over_each_images_own(finished_run, shapes_dataset, strategy, batch_size):
    """Ten images, one of them nothing but void; what fills the last batch up has no score either."""
    trainer = finished_run(strategy).trainer
    splits = {**shapes_dataset.splits, "val": WithVoid(shapes_dataset.split("val"))}
    samples = Samples(replace(shapes_dataset, splits=splits), "val", image_size=(32, 32))
    with trainer.scope():
        model = keras.saving.load_model(finished_run("one").folder.best_model)
    loss = build_cross_entropy(ignore_label=VOID)
    evaluator = Evaluator(trainer, model, loss, samples, batch_size, "per_image")
    mean = MeanOverImages(5)
    for truth, predicted in predict_samples(trainer, model, samples, batch_size):
        valid = truth != VOID
        if valid.any():
            matrix = sklearn.metrics.confusion_matrix(truth[valid], predicted[valid], labels=range(5))
            mean.add(scores_of(matrix))
    expected = mean.result()
    assert abs(scores_of(evaluator.run().confusion_matrix).mean_iou - expected.mean_iou) > 1e-3
    scores = evaluator.run().scores  # as often as asked
    for field in fields(expected):
        np.testing.assert_allclose(getattr(scores, field.name), getattr(expected, field.name), rtol=1e-12)


class WithVoid:
    """The split it wraps, but one mask is nothing but void."""

    def __init__(self, split):
        self._split = split

    def __getattr__(self, name):
        return getattr(self._split, name)

    def __len__(self):
        return len(self._split)

    def read(self, index):
        image, labels = self._split.read(index)
        return image, np.full_like(labels, VOID) if index == 7 else labels


def test_per_image_scores_of_images_of_many_sizes(shapes_of_many_sizes, build_network):
    keras.utils.set_random_seed(1)
    trainer, model, samples = (
        Trainer(strategy="one"),
        build_network(),
        Samples(shapes_of_many_sizes, "val", image_size=None),
    )
    evaluator = Evaluator(trainer, model, build_cross_entropy(ignore_label=VOID), samples, 1, "per_image")
    ious = [
        sklearn.metrics.jaccard_score(truth[truth != VOID], predicted[truth != VOID], average="macro", zero_division=0)
        for truth, predicted in predict_samples(trainer, model, samples, 1)
    ]
    assert len(ious) == 5
    assert evaluator.run().scores.mean_iou == pytest.approx(np.mean(ious), rel=1e-12)


@pytest.mark.parametrize("image_size", [(32, 32), (24, 40)])
def test_a_label_above_the_range_raises_where_keras_drops_it(build_network, shapes_with_a_wrong_label, image_size):
    """Keras' own metric scores such pixels nowhere and says nothing."""

    metric = keras.metrics.MeanIoU(num_classes=5, ignore_class=VOID)
    metric.update_state([0, 1, 99], [0, 1, 1])
    assert float(metric.result()) == pytest.approx(1)
    samples = Samples(shapes_with_a_wrong_label, "val", image_size=image_size)
    model, loss = build_network(), build_cross_entropy(ignore_label=VOID)
    named = "generated val_00006: label 99 at row 0, column 0"
    with pytest.raises(ValueError, match=named):
        Evaluator(Trainer(), model, loss, samples, batch_size=4).run()
    with pytest.raises(ValueError, match=named):
        list(predict_samples(Trainer(), model, samples, batch_size=4))


# Logits of a smaller size than the image's.


@pytest.mark.parametrize("convention", ["segtrain", "per_image"])
@pytest.mark.parametrize(
    ("strategy", "image_size", "batch_size"),
    [("one", (32, 32), 4), ("mirrored", (33, 31), 4), ("one", None, 1)],
)
def test_fewer_logits_are_scored_at_their_own_size(
    shapes_dataset,
    shapes_of_many_sizes,
    strategy,
    image_size,
    batch_size,
    convention,
    cross_entropy_of_pixels,
    at_half_the_size,
    shrunk,
):
    """Loss and counts against scikit-learn's on masks that were shrunk by hand; the same pairs are handed out."""
    keras.utils.set_random_seed(1)
    dataset, trainer = shapes_dataset if image_size else shapes_of_many_sizes, Trainer(strategy=strategy)
    samples = Samples(dataset, "val", image_size=image_size)
    with trainer.scope():
        model = at_half_the_size()
    loss = build_cross_entropy(ignore_label=VOID)
    evaluation = Evaluator(trainer, model, loss, samples, batch_size, convention).run()
    pixels, matrices = [], []
    pairs = list(predict_samples(trainer, model, samples, batch_size))
    assert len(pairs) == len(samples) >= 5
    for index, (truth, predicted) in enumerate(pairs):
        image, labels = samples.at_network_size(index)
        labels, logits = shrunk(labels), model(image[None].astype(np.float32)).numpy()[0]
        np.testing.assert_array_equal(truth, labels)
        np.testing.assert_array_equal(predicted, logits.argmax(axis=-1))
        again = predict_sample(model, samples, index)
        for part, expected in zip(again, (image, labels, predicted), strict=True):
            np.testing.assert_array_equal(part, expected)
        valid = labels != VOID
        pixels.append(cross_entropy_of_pixels(labels, logits))
        matrices.append(sklearn.metrics.confusion_matrix(labels[valid], predicted[valid], labels=range(5)))
    np.testing.assert_array_equal(evaluation.confusion_matrix, sum(matrices))
    assert np.count_nonzero(sum(matrices).sum(axis=0)) > 1
    assert evaluation.loss == pytest.approx(np.concatenate(pixels).mean(), rel=1e-5)
    if convention == "per_image":
        assert evaluation.scores.mean_iou == pytest.approx(np.mean([scores_of(each).mean_iou for each in matrices]))
