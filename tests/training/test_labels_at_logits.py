"""Labels at the size of fewer logits: of each window the pixel after its middle."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from segtrain.training.labels_at_logits import labels_at_logits

VOID = 255
CASES = [((32, 48), 2), ((33, 47), 2), ((31, 32), 2), ((360, 480), 4), ((33, 50), 4), ((35, 51), 4), ((17, 200), 4)]


def random_labels(height, width):
    labels = np.random.default_rng(height).integers(0, 250, (2, height, width), np.uint8)
    labels[0, :3] = VOID
    return labels


def logits_for(labels, stride):
    return np.zeros((2, *(-(-length // stride) for length in labels.shape[1:]), 3), np.float32)


def window_by_window(labels, stride):
    """The slow twin: goes over the windows and takes of each the pixel after its middle, or the last it has."""
    rows = []
    for top in range(0, labels.shape[1], stride):
        row = []
        for left in range(0, labels.shape[2], stride):
            window = labels[:, top : top + stride, left : left + stride]
            below, right = (min(stride // 2, length - 1) for length in window.shape[1:])
            row.append(window[:, below, right])
        rows.append(np.stack(row, axis=1))
    return np.stack(rows, axis=1)


@pytest.mark.parametrize("known", ["sizes", "nothing", "rows"])
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(("size", "stride"), CASES)
def test_each_logit_has_the_label_after_the_middle_of_its_window(size, stride, known, jit):
    labels = random_labels(*size)
    logits = logits_for(labels, stride)
    shapes = [[None if known == "nothing" else 2, *array.shape[1:]] for array in (labels, logits)]
    for shape in shapes:
        shape[1:3] = {"sizes": shape[1:3], "nothing": [None, None], "rows": [shape[1], None]}[known]
    spec = [tf.TensorSpec(shapes[0], tf.uint8), tf.TensorSpec(shapes[1])]
    taken = tf.function(labels_at_logits, input_signature=spec, jit_compile=jit)(labels, logits)
    assert taken.dtype == tf.uint8
    np.testing.assert_array_equal(taken.numpy(), window_by_window(labels, stride))


def test_sizes_that_are_known_stay_known():
    spec = [tf.TensorSpec((2, 33, 50), tf.uint8), tf.TensorSpec((2, 9, 13, 3))]
    assert tf.function(labels_at_logits).get_concrete_function(*spec).structured_outputs.shape == (2, 9, 13)


@pytest.mark.parametrize(("size", "stride"), [((32, 48), 2), ((360, 480), 4), ((64, 64), 8)])
def test_where_the_stride_divides_the_size_they_are_opencvs_nearest(size, stride):
    labels = random_labels(*size)
    expected = [
        cv2.resize(each, (size[1] // stride, size[0] // stride), interpolation=cv2.INTER_NEAREST_EXACT)
        for each in labels
    ]
    np.testing.assert_array_equal(labels_at_logits(labels, logits_for(labels, stride)), expected)


def test_labels_of_the_logits_size_are_returned_as_they_are():
    labels = random_labels(33, 47)
    assert labels_at_logits(labels, logits_for(labels, 1)) is labels
    with tf.Graph().as_default() as graph:
        tensor = tf.compat.v1.placeholder(tf.uint8, (2, 33, 47))
        logits = tf.compat.v1.placeholder(tf.float32, (2, 33, 47, 3))
        assert labels_at_logits(tensor, logits) is tensor
        assert len(graph.get_operations()) == 2


def test_sizes_known_only_when_called_may_be_the_same():
    labels = random_labels(33, 47)
    spec = [tf.TensorSpec((2, None, None), tf.uint8), tf.TensorSpec((2, None, None, 3))]
    taken = tf.function(labels_at_logits, input_signature=spec)
    np.testing.assert_array_equal(taken(labels, logits_for(labels, 1)), labels)
    np.testing.assert_array_equal(taken(labels, logits_for(labels, 2)), window_by_window(labels, 2))
    assert taken.experimental_get_tracing_count() == 1
