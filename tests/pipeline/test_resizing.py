"""How images and masks reach the network's size, against slow twins in exact fractions and plain loops."""

import dataclasses
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segtrain.pipeline.resizing import (
    bring_to_size,
    crop,
    describe_size,
    largest_part,
    letterboxed,
    pad,
    resize_image,
    resize_labels,
)


labels_and_size = st.tuples(
    arrays(
        np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.sampled_from([0, 1, 7, 11, 254, 255])
    ),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)


@given(labels_and_size)
@settings(deadline=None)
def test_resizing_invents_no_labels(case):
    labels, size = case
    resized = resize_labels(labels, size)
    assert (resized.shape, resized.dtype) == (size, np.uint8)
    assert set(np.unique(resized)) <= set(np.unique(labels))


@given(labels_and_size, st.integers(1, 3), st.integers(1, 3))
@settings(deadline=None)
def test_labels_stay_where_they_are(case, rows, columns):
    labels, (height, width) = case[0], case[0].shape
    enlarged = resize_labels(labels, (height * rows, width * columns))
    np.testing.assert_array_equal(enlarged, labels.repeat(rows, axis=0).repeat(columns, axis=1))
    # Where three rows and columns become one, the nearest label is that in the middle.
    surrounded = np.full((3 * height, 3 * width), 77, np.uint8)
    surrounded[1::3, 1::3] = labels
    np.testing.assert_array_equal(resize_labels(surrounded, (height, width)), labels)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.sampled_from([1, 3, 4]))),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
)
@settings(deadline=None)
def test_images_shrink_by_areas_and_grow_linearly(image, size):
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    expected = cv2.resize(image, size[::-1], interpolation=interpolation).reshape(*size, -1)
    resized = resize_image(image, size)
    assert resized.shape == (*size, image.shape[2])
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_shrinks_to_the_means_of_its_blocks(channels):
    image = np.random.default_rng(0).integers(0, 256, (24, 40, channels), np.uint8)
    means = image.reshape(6, 4, 5, 8, channels).mean(axis=(1, 3))
    assert np.abs(resize_image(image, (6, 5)) - means).max() <= 0.5
