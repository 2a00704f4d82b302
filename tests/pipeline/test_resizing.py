"""How images and masks reach the network's size, against Pillow and slow twins in exact fractions."""

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.file_pairs import FilePairs
from segtrain.pipeline.resizing import (
    crop,
    describe_size,
    largest_part,
    letterboxed,
    pad,
    resize_image,
    resize_labels,
    size_around,
)
from segtrain.pipeline.samples import Samples

VOID = 255


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


@pytest.mark.parametrize("size", [(6, 5), (30, 50)])
@pytest.mark.parametrize("channels", [2, 5, 8, 11])
def test_every_channel_is_resized_alike(size, channels):
    """OpenCV takes four at most."""
    image = np.random.default_rng(0).integers(0, 256, (24, 40, channels), np.uint8)
    resized = resize_image(image, size)
    assert resized.shape == (*size, channels)
    for channel in range(channels):
        np.testing.assert_array_equal(resized[..., channel], resize_image(image[..., [channel]], size)[..., 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_shrinks_to_the_means_of_its_blocks(channels):
    image = np.random.default_rng(0).integers(0, 256, (24, 40, channels), np.uint8)
    means = image.reshape(6, 4, 5, 8, channels).mean(axis=(1, 3))
    assert np.abs(resize_image(image, (6, 5)) - means).max() <= 0.5


# Where an image lies


sizes = st.tuples(st.integers(1, 300), st.integers(1, 300))


def nearest(exact: Fraction) -> set[int]:
    """Returns the whole numbers from 1 that are nearest to an exact one: two, where it lies in the middle."""
    below = exact.numerator // exact.denominator
    if exact - below == Fraction(1, 2):
        return {max(1, below), below + 1}
    return {max(1, round(exact))}


def is_in_the_middle(place, size):
    below, behind = size[0] - place.height - place.top, size[1] - place.width - place.left
    return 0 <= place.top <= below <= place.top + 1 and 0 <= place.left <= behind <= place.left + 1


@given(sizes, sizes)
def test_a_letterboxed_image_is_as_large_as_it_fits(shape, size):
    place = letterboxed(shape, size)
    assert is_in_the_middle(place, size)
    if Fraction(*shape) <= Fraction(*size):
        assert place.width == size[1]
        assert place.height in nearest(Fraction(shape[0] * size[1], shape[1]))
    if Fraction(*shape) >= Fraction(*size):
        assert place.height == size[0]
        assert place.width in nearest(Fraction(shape[1] * size[0], shape[0]))


@given(sizes, sizes)
def test_the_largest_part_has_the_networks_aspect_ratio(shape, size):
    part = largest_part(shape, size)
    assert is_in_the_middle(part, shape)
    if Fraction(*shape) <= Fraction(*size):
        assert part.height == shape[0]
        assert part.width in nearest(Fraction(shape[0] * size[1], size[0]))
    if Fraction(*shape) >= Fraction(*size):
        assert part.width == shape[1]
        assert part.height in nearest(Fraction(shape[1] * size[0], size[1]))


@pytest.mark.parametrize("shape", [(360, 480), (480, 360), (7, 31), (64, 64), (500, 333)])
def test_places_are_those_of_pillow(shape):
    picture = Image.new("RGB", shape[::-1])
    for size in [(96, 96), (48, 128), (33, 21)]:
        assert letterboxed(shape, size).size[::-1] == ImageOps.contain(picture, size[::-1]).size
    part = largest_part(shape, (96, 96))
    assert part.size == (min(shape), min(shape))


@pytest.mark.parametrize(
    ("shape", "size", "place"),
    [
        ((360, 480), (96, 96), (12, 0, 72, 96)),
        ((480, 360), (96, 96), (0, 12, 96, 72)),
        ((10, 10), (5, 8), (0, 1, 5, 5)),  # of three columns of padding, the odd one comes last
        ((1, 1000), (96, 96), (47, 0, 1, 96)),
        ((1000, 1), (96, 96), (0, 47, 96, 1)),
        ((1, 1), (2, 4), (0, 1, 2, 2)),
    ],
)
def test_known_places_in_a_letterbox(shape, size, place):
    found = letterboxed(shape, size)
    assert (found.top, found.left, found.height, found.width) == place


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))), sizes)
def test_padding_and_cropping_are_each_others_inverse(pixels, more):
    size = (pixels.shape[0] + more[0] - 1, pixels.shape[1] + more[1] - 1)
    place = letterboxed(pixels.shape[:2], size)
    pixels = resize_image(pixels, place.size)
    padded = pad(pixels, place, size, 77)
    np.testing.assert_array_equal(crop(padded, place), pixels)
    outside = np.ones(size, bool)
    outside[place.top : place.top + place.height, place.left : place.left + place.width] = False
    assert (padded[outside] == 77).all()


def test_a_crop_does_not_keep_the_whole_image():
    whole = np.zeros((400, 400, 3), np.uint8)
    part = crop(whole, largest_part((400, 400), (1, 4)))
    assert part.shape == (100, 400, 3)
    assert part.base is None


# Image and mask together

COLOURS = np.uint8([(255, 0, 0), (0, 255, 0), (0, 0, 255)])


def draw(blocks: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns a mask of large blocks and an image that has the colour of each label; the image first."""
    rows, columns = (np.arange(length) * count // length for length, count in zip(shape, blocks.shape, strict=True))
    labels = blocks[rows[:, None], columns]
    colours = np.zeros((256, 3), np.uint8)
    colours[:3], colours[VOID] = COLOURS, (9, 9, 9)
    return colours[labels], labels


def decode_at(size, resize, image, labels):
    """Writes image and mask as PNG files, and returns them as a run with that size has them."""
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(image).save(f"{folder}/image.png")
        Image.fromarray(labels).save(f"{folder}/mask.png")
        split = FilePairs(Path(folder), Path(folder), [("image.png", "mask.png")])
        dataset = SegmentationDataset("drawn", {"train": split}, "abc", VOID, COLOURS, cache="none", resize=resize)
        return Samples(dataset, "train", image_size=size).at_network_size(0)


def seen_part(shape, size, resize):
    """Returns which rectangle of the image comes to lie where: `(top, left, height, width)` of both."""
    whole = (0, 0)
    if resize == "crop_square":
        part = largest_part(shape, size)
        return (part.top, part.left, *part.size), (*whole, *size)
    if resize == "letterbox":
        place = letterboxed(shape, size)
        return (*whole, *shape), (place.top, place.left, *place.size)
    return (*whole, *shape), (*whole, *size)


def neighbourhood(place, length, start, own_length):
    """Returns which rows of an image a row of its resized one, or the next to it, may show."""
    first = Fraction(place * own_length, length)
    last = Fraction((place + 1) * own_length, length)
    low, high = int(first) - 1, -int(-last // 1) + 1
    return slice(start + max(0, low), start + min(own_length, high))


block_labels = arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 3)), elements=st.sampled_from([0, 1, 2, VOID])
)
small_sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(block_labels, small_sizes, small_sizes, st.sampled_from(["stretch", "crop_square", "letterbox"]))
@settings(deadline=None)
def test_the_mask_is_still_that_of_the_image(blocks, shape, size, resize):
    """Where all that a pixel may show has one label, it has that label and its colour; elsewhere none is invented."""
    own_image, own_labels = draw(blocks, shape)
    image, labels = decode_at(size, resize, own_image, own_labels)
    assert (image.shape, labels.shape, image.dtype, labels.dtype) == ((*size, 3), size, np.uint8, np.uint8)
    assert set(np.unique(labels)) <= set(np.unique(own_labels)) | ({VOID} if resize == "letterbox" else set())
    (own_top, own_left, *own), (top, left, height, width) = seen_part(shape, size, resize)
    inside = np.zeros(size, bool)
    inside[top : top + height, left : left + width] = True
    assert (labels[~inside] == VOID).all()
    assert not image[~inside].any()
    for row in range(height):
        for column in range(width):
            window = (
                neighbourhood(row, height, own_top, own[0]),
                neighbourhood(column, width, own_left, own[1]),
            )
            if len(np.unique(own_labels[window])) == 1:
                assert labels[top + row, left + column] == own_labels[window][0, 0]
                np.testing.assert_array_equal(image[top + row, left + column], own_image[window][0, 0])


@pytest.mark.parametrize("resize", ["stretch", "crop_square", "letterbox"])
def test_most_pixels_of_a_photo_are_away_from_edges(resize):
    """Or the test before this one would look at nothing."""
    image, labels = decode_at((48, 48), resize, *draw(np.uint8([[0, 1], [2, 0]]), (90, 160)))
    as_drawn = (image[..., None, :] == COLOURS).all(axis=-1)
    derived = np.where(as_drawn.any(axis=-1), as_drawn.argmax(axis=-1), VOID)
    agree = {"stretch": 48 * 48, "crop_square": 48 * 48, "letterbox": 27 * 48}[resize]
    assert np.count_nonzero((derived == labels) & (labels != VOID)) > 0.9 * agree
    quarters = {(row, column): labels[16 + 14 * row, 8 + 30 * column] for row in (0, 1) for column in (0, 1)}
    assert quarters == {(0, 0): 0, (0, 1): 1, (1, 0): 2, (1, 1): 0}


def test_at_its_own_size_nothing_is_changed():
    own_image, own_labels = draw(np.uint8([[0, 1], [2, 0]]), (31, 17))
    image, labels = decode_at(None, "stretch", own_image, own_labels)
    np.testing.assert_array_equal(image, own_image)
    np.testing.assert_array_equal(labels, own_labels)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((375, 1242), (256, 848)),  # 1242 * 256 / 375
        ((1242, 375), (848, 256)),
        ((256, 256), (256, 256)),
        ((100, 100), (256, 256)),
        ((10, 160), (256, 4096)),  # just as many pixels as are allowed
        ((100, 100_000), (32, 32382)),  # 256 and 256,000, each times the root of 16 / 1000
        ((1, 10**6), (1, 1_024_000)),
    ],
)
def test_around_the_part_that_is_kept_the_scale_is_its_own(shape, seen):
    assert size_around(shape, (256, 256), 16 * 256 * 256) == seen


@pytest.mark.parametrize(
    ("size", "resize", "words"),
    [
        ([96, 128], "stretch", "96x128"),
        ((96, 128), "letterbox", "96x128 (letterbox)"),
        ((96, 96), "crop_square", "96x96 (crop_square)"),
        (None, "stretch", "images at their own sizes"),
    ],
)
def test_the_size_in_words(size, resize, words):
    assert describe_size(size, resize) == words
