import functools

import numpy as np
import pytest
import tensorflow as tf

from segtrain.pipeline.class_balance import ClassBalance
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.losses.weighted_cross_entropy import build_weighted_cross_entropy
from segtrain.training.losses.weighted_sum import build_weighted_sum

NAMES = ["road", "sky", "tree", "sign", "pole"]
# The last class is in no image.
BALANCE = ClassBalance(np.array([600, 200, 100, 20, 0]), np.array([1000, 1000, 500, 200, 0]), 1000, 4)


def not_to_be_called():
    raise AssertionError("the training split was counted, and nobody asked")


def build(weights, class_balance=not_to_be_called, **others):
    return build_weighted_cross_entropy(
        ignore_label=255, class_names=NAMES, class_balance=class_balance, weights=weights, **others
    )


def twin_of(weights):
    def twin(pixels):
        total = sum(weights[truth] for truth, _ in pixels)
        return sum(weights[truth] * -np.log(p[truth]) for truth, p in pixels) / total

    return twin


def test_equals_its_definition(assert_equals_twin):
    weights = [0.5, 2.0, 0.0, 7.0, 1.5]
    assert_equals_twin(build(weights), twin_of(weights))


def test_a_rule_is_asked_of_the_training_split(assert_equals_twin):
    # Frequencies 0.6, 0.2, 0.2 and 0.1, and so a median of 0.2.
    assert_equals_twin(build("median_frequency", lambda: BALANCE), twin_of([1 / 3, 1, 1, 2, 0]))


def test_equal_weights_are_plain_cross_entropy(batches):
    for labels, logits in batches:
        expected = build_cross_entropy(ignore_label=255)(tf.constant(labels), tf.constant(logits))
        found = build([3.0] * 5)(tf.constant(labels), tf.constant(logits))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_batch_of_classes_without_weight_costs_nothing():
    labels, logits = tf.fill((1, 2, 2), tf.constant(4, tf.uint8)), tf.random.stateless_normal((1, 2, 2, 5), (0, 1))
    assert build("inverse", lambda: BALANCE)(labels, logits).numpy() == 0.0


def test_the_user_is_told_the_weights():
    told = []
    build("median_frequency", lambda: BALANCE, tell=told.append)
    build([1.0, 2.0, 3.0, 4.0, 0.125], tell=told.append)
    assert told == [
        "class weights (median_frequency): road 0.333, sky 1, tree 1, sign 2, pole 0",
        "class weights: road 1, sky 2, tree 3, sign 4, pole 0.125",
    ]


@pytest.mark.parametrize("weights", [[1.0, 2.0], [1.0] * 6, []])
def test_a_list_of_the_wrong_length(weights):
    message = rf"each of the 5 classes, in this order: road, sky, tree, sign, pole\. Received {len(weights)}"
    with pytest.raises(ValueError, match=message):
        build(weights)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_weigh_nothing_or_no_number(weight):
    with pytest.raises(ValueError, match="numbers of 0 or more, and at least one above 0"):
        build([0.0, 0.0, 0.0, 0.0, weight])


def test_a_term_of_a_sum_is_told_the_balance(batches):
    terms = {"plain": build_cross_entropy, "weighted": functools.partial(build_weighted_cross_entropy)}
    told = []
    total = build_weighted_sum(
        ignore_label=255,
        class_names=NAMES,
        class_balance=lambda: BALANCE,
        tell=told.append,
        terms=terms,
        weights={"plain": 1.0, "weighted": 2.0},
    )
    assert len(told) == 1
    for labels, logits in batches:
        expected = build_cross_entropy(ignore_label=255)(labels, logits)
        expected += 2 * build("median_frequency", lambda: BALANCE)(labels, logits)
        np.testing.assert_allclose(total(labels, logits), expected, rtol=1e-6)
