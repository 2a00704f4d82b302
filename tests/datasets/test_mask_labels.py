"""What masks become, against a loop over pixels that knows nothing of tables and packed colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtrain.datasets.mask_coding import ValueSummary, summarise
from segtrain.datasets.mask_labels import MaskLabels, MasksDoNotFitError, mask_labels
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.problems import BadSampleError

VOC = voc_palette(256)
PALETTE = np.array(VOC, np.uint8)


def read(pixels, *, mask="ids", classes=None, ignore_label=255, palette=None, seen=None):
    """Returns labels as a dataset reads them that has seen this mask, or what `seen` says."""
    pixels = np.asarray(pixels)
    seen = summarise(pixels, palette) if seen is None else seen
    return mask_labels(mask, classes, ignore_label, seen).labels(pixels, palette, "masks/a.png")


def by_hand(pixels, classes, ignore_label, colour_of=lambda pixel: pixel):
    """Returns labels, pixel by pixel."""
    label_of = {}
    for name in classes:
        label = ignore_label if name == "void" else [each for each in classes if each != "void"].index(name)
        for item in classes[name]:
            label_of[tuple(item) if isinstance(item, list) else item] = label
    height, width = pixels.shape[:2]
    return [[label_of[colour_of(pixels[row, column])] for column in range(width)] for row in range(height)]


@given(st.lists(st.lists(st.integers(0, 65535), min_size=1, max_size=4), min_size=2, max_size=30), st.data())
def test_values_of_any_depth_are_looked_up(values, data):
    flat = [value for each in values for value in each]
    if len(set(flat)) < len(flat):
        return
    classes = {f"class {number}": each for number, each in enumerate(values)}
    if data.draw(st.booleans()):
        classes["void"] = classes.pop("class 0")
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.int32] if max(flat) < 256 else [np.uint16, np.int32]))
    pixels = np.array(data.draw(st.lists(st.sampled_from(flat), min_size=6, max_size=6))).reshape(2, 3).astype(dtype)
    labels = read(pixels, classes=classes)
    assert labels.dtype == np.uint8
    assert labels.tolist() == by_hand(pixels, classes, 255, int)


COLOUR = st.tuples(*[st.integers(0, 255)] * 3).map(list)


@given(st.lists(COLOUR, min_size=3, max_size=12, unique_by=tuple), st.data())
def test_colours_are_looked_up(colours, data):
    classes = {"first": [colours[0], colours[1]], "void": [colours[2]]}
    classes |= {f"class {number}": [colour] for number, colour in enumerate(colours[3:])}
    pixels = np.array(data.draw(st.lists(st.sampled_from(colours), min_size=6, max_size=6)), np.uint8).reshape(2, 3, 3)
    if data.draw(st.booleans()):
        pixels = np.dstack([pixels, np.full((2, 3), data.draw(st.integers(0, 255)), np.uint8)])
    expected = by_hand(pixels, classes, 77, lambda pixel: tuple(int(number) for number in pixel[:3]))
    assert read(pixels, mask="rgb", classes=classes, ignore_label=77).tolist() == expected


@pytest.mark.parametrize("mask", ["palette", "rgb"])
def test_colours_of_a_palette_are_looked_up(mask):
    indices = np.array([[0, 1, 2], [15, 255, 1]], np.uint8)
    classes = {"ground": list(VOC[0]), "thing": [list(VOC[1]), list(VOC[2])], "person": list(VOC[15])}
    classes["void"] = list(VOC[255])
    labels = read(indices, mask=mask, classes=classes, palette=PALETTE)
    assert labels.tolist() == [[0, 1, 1], [2, 255, 1]]


def test_indices_of_a_palette_are_looked_up():
    indices = np.array([[0, 1, 2, 15]], np.uint8)
    classes = {"person": 15, "ground": 0, "others": [list(VOC[1]), list(VOC[2])]}
    assert read(indices, mask="palette", classes=classes, palette=PALETTE).tolist() == [[1, 2, 2, 0]]
    assert read([[0, 1, 2, 255]], mask="palette", classes=["a", "b", "c"], palette=PALETTE).tolist() == [[0, 1, 2, 255]]


def test_a_grey_file_among_colours_holds_grey_colours():
    classes = {"ground": [0, 0, 0], "road": [128, 128, 128], "car": [0, 0, 128]}
    assert read(np.uint8([[0, 128]]), mask="rgb", classes=classes).tolist() == [[0, 1]]


@pytest.mark.parametrize("value", [1, 255, 7, 1000])
def test_two_values_are_background_and_object(value):
    seen = summarise(np.array([[0, value]]))
    for pixels in ([[0, value], [value, 0]], [[0, 0]], [[value, value]]):
        labels = read(np.array(pixels), mask="binary", seen=seen)
        assert labels.tolist() == [[int(pixel > 0) for pixel in row] for row in pixels]
    unseen = ValueSummary({0: 100}, 3)
    assert read(np.array([[0, value]]), mask="binary", seen=unseen).tolist() == [[0, 1]]


@pytest.mark.parametrize("seen", [None, ValueSummary({0: 100}, 1), ValueSummary({0: 100, 255: 10}, 2)])
def test_a_third_value_is_refused_with_a_hint(seen):
    with pytest.raises(ValueError, match=r"masks/a\.png: value \d+ at row 0, column \d\. .*two values.*anti-aliased"):
        read(np.uint8([[0, 255, 255, 128]]), mask="binary", seen=seen)


def test_one_object_has_one_value():
    """Files of {0, 1} and files of {0, 2} are of two classes."""
    seen = summarise(np.uint8([[0, 1, 1]])) + summarise(np.uint8([[0, 2]]))
    assert read(np.uint8([[0, 1]]), mask="binary", seen=seen).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="value 2 at row 0, column 1"):
        read(np.uint8([[0, 2]]), mask="binary", seen=seen)


def test_ids_are_labels_and_void_stays():
    pixels = np.uint16([[0, 1, 2, 200]])
    labels = read(pixels, classes=["a", "b", "c"], ignore_label=200)
    assert (labels.dtype, labels.tolist()) == (np.uint8, pixels.tolist())


def test_void_is_void_in_a_map_too_unless_it_is_a_class():
    assert read(np.uint8([[1, 7, 255]]), classes={"a": 7, "b": 1}).tolist() == [[1, 0, 255]]
    assert read(np.uint8([[1, 7, 255]]), classes={"a": 7, "b": [1, 255]}).tolist() == [[1, 0, 1]]
    assert read(np.uint8([[0, 1, 7]]), classes={"void": 0, "a": 7, "b": 1}).tolist() == [[255, 1, 0]]


# A mask that does not fit: pixels, settings, and what the message has to say.
MISFITS = {
    "grey 0 and 255": ([[0, 255]], {}, ["so there is nothing to tell apart", "Type dataset.mask=binary"]),
    "the same with names": ([[0, 255]], {"classes": ["a", "b"]}, ["Type dataset.mask=binary"]),
    "ids from 1": ([[1, 2, 3]], {}, ["Type 'dataset.classes={class_1:1,class_2:2,class_3:3}'"]),
    "ids from 1, named": ([[1, 2, 3]], {"classes": ["a", "b", "c"]}, ["label 3", "{a:1,b:2,c:3}"]),
    "few of many ids": ([[0, 38, 75]], {}, ["{class_0:0,class_38:38,class_75:75}"]),
    "too few names": ([[0, 1, 2]], {"classes": ["a", "b"]}, ["label 2", "[a,b,class_2]", "dataset.ignore_label=2"]),
    "above 255": (np.uint16([[0, 300]]), {"classes": ["a", "b"]}, ["label 300", "dataset.mask=binary"]),
    "above 255, more": (np.uint16([[0, 1, 300]]), {"classes": ["a", "b"]}, ["{class_0:0,class_1:1,class_300:300}"]),
    "below 0": (np.int32([[0, 1, -1]]), {"classes": ["a", "b"]}, ["label -1 at row 0, column 2"]),
    "below 0, without names": (np.int32([[0, 1, -1]]), {}, ["{class_0:0,class_1:1,void:-1}"]),
    "void among the ids": (
        [[0, 1, 2, 3]],
        {"ignore_label": 1},
        ["lies among the ids", "void:1}' dataset.ignore_label=255"],
    ),
    "no class but 0": ([[0, 0]], {}, ["nothing to tell apart"]),
    "RGB": (
        np.uint8([[[0, 0, 0], [9, 8, 7]]]),
        {},
        ["Type dataset.mask=rgb 'dataset.classes={class_0:[0,0,0],class_1:[9,8,7]}'"],
    ),
    "RGB under names": (
        np.uint8([[[0, 0, 0], [9, 8, 7]]]),
        {"classes": ["a", "b"]},
        ["dataset.mask=rgb", "{a:[0,0,0]"],
    ),
    "RGBA under a map": (
        np.uint8([[[0, 0, 0, 255], [9, 8, 7, 255]]]),
        {"classes": {"a": 0, "b": 1}},
        ["holds RGBA colours", "dataset.mask=rgb"],
    ),
    "RGB under palette": (
        np.uint8([[[0, 0, 0], [9, 8, 7]]]),
        {"mask": "palette", "classes": {"a": [0, 0, 0], "b": [9, 8, 7]}},
        ["holds RGB colours", "dataset.mask=palette asks for palette images", "Type dataset.mask=rgb"],
    ),
    "grey under palette": (
        np.uint8([[0, 1, 2]]),
        {"mask": "palette", "classes": ["a", "b", "c"]},
        ["dataset.mask=ids"],
    ),
    "RGB under rgb without a map": (
        np.uint8([[[0, 0, 0], [9, 8, 7]]]),
        {"mask": "rgb"},
        ["Type 'dataset.classes={class_0:[0,0,0],class_1:[9,8,7]}'"],
    ),
    "names under rgb": (np.uint8([[[0, 0, 0], [9, 8, 7]]]), {"mask": "rgb", "classes": ["x", "y"]}, ["{x:[0,0,0],"]),
    "a colour too many": (
        np.uint8([[[0, 0, 0], [9, 8, 7], [1, 1, 1]]]),
        {"mask": "rgb", "classes": {"a": [0, 0, 0], "b": [9, 8, 7]}},
        ["colour [1,1,1] at row 0, column 2", "{a:[0,0,0],b:[9,8,7],class_2:[1,1,1]}"],
    ),
    "a value too many": (
        np.uint8([[1, 7, 9]]),
        {"classes": {"a": 1, "b": 7}},
        ["value 9 at row 0, column 2", "none of: a, b", "{a:1,b:7,class_2:9}"],
    ),
    "palette without a map": (
        (np.uint8([[0, 1]]), PALETTE),
        {"mask": "palette"},
        ["Type 'dataset.classes={class_0:[0,0,0],class_1:[128,0,0]}'"],
    ),
    "index outside of its palette": (
        (np.uint8([[0, 1, 3]]), PALETTE[:2]),
        {"mask": "palette", "classes": {"a": [0, 0, 0], "b": [128, 0, 0]}},
        ["palette index 3 (outside of the palette) at row 0, column 2"],
    ),
    "colour of a palette": (
        (np.uint8([[0, 1, 2]]), PALETTE),
        {"mask": "palette", "classes": {"a": [0, 0, 0], "b": [128, 0, 0]}},
        ["palette index 2 ([0,128,0])"],
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_does_not_fit_is_told_with_what_to_type(misfit):
    pixels, settings, words = MISFITS[misfit]
    pixels, palette = pixels if isinstance(pixels, tuple) else (pixels, None)
    with pytest.raises(ValueError) as error:  # noqa: PT011  (each has its own words, below)
        read(pixels, palette=palette, **settings)
    for each in words:
        assert each in str(error.value)


def test_a_dataset_of_fixed_classes_is_told_without_settings_that_it_has_not():
    camvid_like = MaskLabels("ids", ["sky", "road"], 11)
    with pytest.raises(BadSampleError, match=r"a\.png: label 3 at row 0, column 1.*: 3\. Correct the mask\.$") as error:
        camvid_like.labels(np.uint8([[0, 3]]), None, "a.png")
    assert error.value.kind == "wrong_label"
    with pytest.raises(BadSampleError, match=r"RGB colours, where one id per pixel .* is needed\. Correct the mask\.$"):
        camvid_like.labels(np.zeros((1, 2, 3), np.uint8), None, "a.png")


# The settings that a message names have to be ones that work.
@pytest.mark.parametrize(
    ("pixels", "labels"),
    [
        (np.uint8([[0, 255]]), [[0, 1]]),
        (np.uint8([[1, 2, 3, 255]]), [[0, 1, 2, 255]]),
        (np.uint8([[0, 38, 75]]), [[0, 1, 2]]),
        (np.uint16([[0, 300, 4000]]), [[0, 1, 2]]),
        (np.int32([[0, 1, -1]]), [[0, 1, 255]]),
        (np.uint8([[[9, 8, 7], [0, 0, 0], [224, 224, 192]]]), [[1, 0, 255]]),
    ],
)
def test_what_is_suggested_works(pixels, labels):
    with pytest.raises(MasksDoNotFitError) as error:
        read(pixels)
    assert read(pixels, **error.value.suggestion.settings).tolist() == labels


@pytest.mark.parametrize(
    ("mask", "classes", "words"),
    [
        ("binary", {"a": 0, "b": 255}, "dataset.mask=ids"),
        ("binary", ["a", "b", "c"], r"two classes.*\[a,b,c\]"),
        ("ids", {"a": [0, 0, 0], "b": 0}, "'a' and 'a' both have 0"),
        ("ids", {"a": 3, "b": [1, 3]}, "'a' and 'b' both have 3"),
        ("ids", {"a": [[0, 0, 0]], "b": 1}, r"'a' needs a value or a list of values.*Received: \[\[0,0,0\]\]"),
        ("ids", {"a": [], "b": 1}, "'a' needs a value"),
        ("rgb", {"a": 3, "b": [1, 2, 3]}, "'a' needs an RGB colour.*Received: 3"),
        ("rgb", {"a": [0, 0, 256], "b": [1, 2, 3]}, "'a' needs an RGB colour"),
        ("rgb", {"a": [0, 0], "b": [1, 2, 3]}, "'a' needs an RGB colour"),
        ("rgb", {"a": [[1, 2, 3], [0, 0, 0]], "b": [1, 2, 3]}, r"'a' and 'b' both have \[1,2,3\]"),
        (
            "palette",
            {"a": [7, 8], "b": [1, 2, 3]},
            "'a' needs a palette index, an RGB.*three numbers are always a colour",
        ),
        (
            "ids",
            ["road", "void"],
            r"dataset\.classes=\[road,void\]: 'void' is for what is no class.*ignore_label=VALUE",
        ),
        ("binary", ["void", "thing"], "'void' is for what is no class"),
    ],
)
def test_impossible_maps_are_refused(mask, classes, words):
    with pytest.raises(ValueError, match=words):
        mask_labels(mask, classes, 255, ValueSummary())


def test_a_void_label_that_is_a_class_of_the_map_is_refused():
    with pytest.raises(ValueError, match=r"ignore_label=0 is the id of 'a'.*void:0"):
        mask_labels("ids", {"a": 1, "b": 2}, 0, ValueSummary())


def test_pictures_have_the_masks_own_colours():
    colours = {"a": [9, 8, 7], "b": [[1, 2, 3], [4, 5, 6]], "void": [0, 0, 0]}
    assert mask_labels("rgb", colours, 255, ValueSummary()).palette == [(9, 8, 7), (1, 2, 3)]
    seen = summarise(np.uint8([[1, 2]]), PALETTE)
    assert mask_labels("palette", {"a": 2, "b": 1}, 255, seen).palette == [VOC[2], VOC[1]]
    assert mask_labels("palette", ["a", "b", "c"], 255, seen).palette == VOC[:3]
    assert mask_labels("ids", {"a": 2, "b": 1}, 255, ValueSummary()).palette == VOC[:2]
