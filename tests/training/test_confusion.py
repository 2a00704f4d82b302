"""The confusion matrix on the device, against scikit-learn's."""

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from segtrain.training.confusion import ConfusionMatrix
from segtrain.training.replicas import choose_strategy


def case(seed, num_classes=5, void=255, share_of_void=0.2, shape=(3, 4, 5)):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, shape).astype(np.uint8)
    labels[rng.random(shape) < share_of_void] = void
    return labels, rng.normal(size=(*shape, num_classes)).astype(np.float32)


def expected(batches, num_classes=5, void=255):
    truth = np.concatenate([labels.ravel() for labels, _ in batches])
    predicted = np.concatenate([logits.argmax(axis=-1).ravel() for _, logits in batches])
    valid = truth != void
    return sklearn.metrics.confusion_matrix(truth[valid], predicted[valid], labels=range(num_classes))


@pytest.mark.parametrize(("num_classes", "void"), [(2, 255), (5, 255), (11, 11), (255, 255)])
@pytest.mark.parametrize("share_of_void", [0.0, 0.5])
def test_equals_scikit_learns(num_classes, void, share_of_void):
    options = {"num_classes": num_classes, "void": void}
    batches = [case(seed, share_of_void=share_of_void, **options) for seed in range(3)]
    matrix = ConfusionMatrix(num_classes, void)
    update = tf.function(matrix.update)
    for labels, logits in batches:
        update(labels, logits)
    assert matrix.result().dtype == np.int64
    np.testing.assert_array_equal(matrix.result(), expected(batches, **options))


def test_rows_are_truth_and_columns_prediction():
    matrix = ConfusionMatrix(3, 255)
    matrix.update(np.full((1, 1, 4), 2, np.uint8), np.tile(np.float32([0, 1, 0]), (1, 1, 4, 1)))
    np.testing.assert_array_equal(matrix.result(), [[0, 0, 0], [0, 0, 0], [0, 4, 0]])


def test_of_equal_logits_the_first_class_counts():
    """As NumPy and `tf.argmax` have it, on which predicted masks rest."""
    logits = np.random.default_rng(0).integers(0, 2, (2, 16, 16, 6)).astype(np.float32)
    labels = np.zeros(logits.shape[:3], np.uint8)
    matrix = ConfusionMatrix(6, 255)
    matrix.update(labels, logits)
    np.testing.assert_array_equal(matrix.result(), expected([(labels, logits)], num_classes=6))


def test_nothing_but_void_counts_nothing():
    matrix = ConfusionMatrix(5, 255)
    matrix.update(*case(0, share_of_void=1.1))
    np.testing.assert_array_equal(matrix.result(), np.zeros((5, 5)))


def test_reset_forgets():
    matrix = ConfusionMatrix(5, 255)
    matrix.update(*case(0))
    matrix.reset()
    matrix.update(*case(1))
    np.testing.assert_array_equal(matrix.result(), expected([case(1)]))


def test_counts_of_replicas_add_up():
    strategy = choose_strategy("mirrored")
    with strategy.scope():
        matrix = ConfusionMatrix(5, 255)
    batches = [case(seed, share_of_void=seed / 4) for seed in range(4)]
    for first in (0, 2):
        labels, logits = (
            strategy.experimental_distribute_values_from_function(
                lambda context, of=of, first=first: tf.constant(batches[first + context.replica_id_in_sync_group][of])
            )
            for of in (0, 1)
        )
        strategy.run(matrix.update, (labels, logits))
    np.testing.assert_array_equal(matrix.result(), expected(batches))
    matrix.reset()
    assert matrix.result().sum() == 0
