import shlex

import hydra
import numpy as np
import pytest
import yaml
from PIL import Image

from segtrain.command.composition import config_folder
from segtrain.datasets.mask_coding import MOST_COLOURS_KEPT, ValueSummary, suggest_settings, summarise
from segtrain.datasets.mask_labels import mask_labels
from segtrain.datasets.palette import voc_palette


def holding(*values: int, palette=None) -> ValueSummary:
    return summarise(np.array(values).reshape(1, -1), palette)


def coloured(*colours: tuple[int, int, int]) -> ValueSummary:
    return summarise(np.array(colours, np.uint8)[None])


# What masks hold, the current settings, and what has to be typed.
CASES = {
    "0 and 255": (holding(0, 255), {}, ["dataset.mask=binary"]),
    "0 and 1": (holding(0, 1), {}, []),
    "0 and 77": (holding(0, 77), {}, ["dataset.mask=binary"]),
    "binary is set": (holding(0, 255), {"mask": "binary"}, []),
    "ids": (holding(0, 1, 2, 3, 255), {}, []),
    "ids under binary": (holding(0, 1, 2, 255), {"mask": "binary"}, ["dataset.mask=ids"]),
    "ids, some rare": (holding(0, 2, 5), {}, []),
    "void in the middle": (holding(0, 1, 2, 3, 11, 11), {"ignore_label": 11}, []),
    "from 1": (holding(1, 2, 3, 255), {}, ["dataset.classes={class_1:1,class_2:2,class_3:3}"]),
    "from 1, named": (
        holding(1, 2, 3, 255),
        {"class_names": ["a", "b", "c"]},
        ["dataset.classes={a:1,b:2,c:3}"],
    ),
    "gaps": (holding(1, 7), {}, ["dataset.classes={class_1:1,class_7:7}"]),
    "gaps, named": (
        holding(0, 5, 9),
        {"class_names": ["ground", "cat", "dog"]},
        ["dataset.classes={ground:0,cat:5,dog:9}"],
    ),
    "names of two words": (
        holding(0, 7, 24),
        {"class_names": ["ground", "big cat", "dog"]},
        ["dataset.classes={ground:0,big cat:7,dog:24}"],
    ),
    "names that Hydra takes for no keys": (
        holding(0, 7, 24),
        {"class_names": ["ground", "straße", "dog"]},
        ["dataset.classes={class_0:0,class_7:7,class_24:24}"],
    ),
    "names that have to be quoted": (
        holding(0, 1, 2, 3),
        {"class_names": ["car, parked", "null", "straße"]},
        ["dataset.classes=['car, parked','null','straße',class_3]"],
    ),
    "void 0 that is told": (
        holding(0, 1, 2),
        {"ignore_label": 0},
        ["dataset.classes={class_1:1,class_2:2,void:0}", "dataset.ignore_label=255"],
    ),
    "void among the ids": (
        holding(0, 1, 2, 3),
        {"ignore_label": 1},
        ["dataset.classes={class_0:0,class_2:2,class_3:3,void:1}", "dataset.ignore_label=255"],
    ),
    "void 0 and colours": (
        coloured((1, 1, 1), (2, 2, 2)),
        {"ignore_label": 0},
        ["dataset.mask=rgb", "dataset.classes={class_0:[1,1,1],class_1:[2,2,2]}", "dataset.ignore_label=255"],
    ),
    "a map that grows over the void label": (
        holding(3, 4, 5, 2),
        {"class_map": {"a": 3, "b": 4}, "ignore_label": 2},
        ["dataset.classes={a:3,b:4,class_2:5,void:2}", "dataset.ignore_label=255"],
    ),
    "below 0": (holding(-1, 0, 1), {}, ["dataset.classes={class_0:0,class_1:1,void:-1}"]),
    "below 0, and void": (
        holding(-9999, -1, 0, 1, 255),
        {"ignore_label": 200},
        ["dataset.classes={class_0:0,class_1:1,void:[-9999,-1,255]}"],
    ),
    "a map that lacks what is below 0": (
        holding(-1, 0, 1),
        {"class_map": {"a": 0, "b": 1}},
        ["dataset.classes={a:0,b:1,class_2:-1}"],
    ),
    "more values than labels": (holding(*range(0, 3000, 10)), {}, []),
    "a name too few": (
        holding(0, 1, 2),
        {"class_names": ["ground", "cat"]},
        ["dataset.classes=[ground,cat,class_2]"],
    ),
    "void of another value than told": (holding(0, 1, 2, 255), {"ignore_label": 9}, ["dataset.ignore_label=255"]),
    "void of any value": (holding(0, 1, 200), {"class_names": ["a", "b"]}, ["dataset.ignore_label=200"]),
    "void of another value, from 1": (
        holding(1, 2, 255),
        {"ignore_label": 9},
        ["dataset.classes={class_1:1,class_2:2,void:255}"],
    ),
    "16 bits": (holding(0, 300, 4000), {}, ["dataset.classes={class_0:0,class_300:300,class_4000:4000}"]),
    "one class and void": (holding(1, 255), {}, ["dataset.classes={class_1:1,class_255:255}"]),
    "nothing but one value": (holding(7), {}, []),
    "colours": (
        coloured((128, 0, 0), (0, 0, 0), (0, 0, 0)),
        {},
        ["dataset.mask=rgb", "dataset.classes={class_0:[0,0,0],class_1:[128,0,0]}"],
    ),
    "VOC's rim": (
        coloured((128, 0, 0), (0, 0, 0), (224, 224, 192)),
        {"mask": "rgb"},
        ["dataset.classes={class_0:[0,0,0],class_1:[128,0,0],void:[224,224,192]}"],
    ),
    "a map that lacks a value": (
        holding(1, 7, 9, 255),
        {"class_map": {"a": 1, "class_2": [7, 8]}},
        ["dataset.classes={a:1,class_2:[7,8],class_3:9}"],
    ),
    "a map that lacks a colour": (
        coloured((0, 0, 0), (9, 8, 7)),
        {"mask": "rgb", "class_map": {"a": [0, 0, 0]}},
        ["dataset.classes={a:[0,0,0],class_1:[9,8,7]}"],
    ),
    "a map that lacks a grey colour": (
        holding(0, 9),
        {"mask": "rgb", "class_map": {"a": [0, 0, 0], "b": [1, 2, 3]}},
        ["dataset.classes={a:[0,0,0],b:[1,2,3],class_2:[9,9,9]}"],
    ),
    "a map of a palette's colours for RGB masks": (
        coloured((0, 0, 0), (9, 8, 7)),
        {"mask": "palette", "class_map": {"a": [0, 0, 0], "b": [[9, 8, 7], [1, 1, 1]]}},
        ["dataset.mask=rgb"],
    ),
    "a map that lacks a colour of the palette": (
        holding(0, 1, 2, palette=voc_palette(256)),
        {"mask": "palette", "class_map": {"a": 0, "b": [128, 0, 0]}},
        ["dataset.classes={a:0,b:[128,0,0],class_2:[0,128,0]}"],
    ),
    "palette images under palette": (
        holding(0, 2, palette=voc_palette(256)),
        {"mask": "palette"},
        ["dataset.classes={class_0:[0,0,0],class_1:[0,128,0]}"],
    ),
    "palette images under ids": (holding(0, 1, 2, 255, palette=voc_palette(256)), {}, []),
    "palette images under rgb": (holding(0, 1, 2, palette=voc_palette(256)), {"mask": "rgb"}, ["dataset.mask=ids"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_suggested(case):
    summary, current, overrides = CASES[case]
    suggestion = suggest_settings(summary, **current)
    assert suggestion.overrides == overrides
    assert shlex.split(suggestion.typed) == overrides
    assert suggestion.typed in suggestion.advice


@pytest.mark.parametrize("case", CASES)
def test_hydra_reads_what_is_suggested_as_it_is_meant(case):
    summary, current, _ = CASES[case]
    suggestion = suggest_settings(summary, **current)
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose("config", ["dataset=folder", "dataset.root=.", *suggestion.overrides])
    assert {name: config.dataset[name] for name in suggestion.settings} == suggestion.settings


# Where there is nothing to set that would help.
HOPELESS = {"nothing but one value", "more values than labels"}


@pytest.mark.parametrize("case", sorted(CASES.keys() - HOPELESS))
def test_masks_are_read_with_what_is_suggested(case):
    summary, current, _ = CASES[case]
    given = {"mask": "ids", "ignore_label": 255} | current
    given["classes"] = given.pop("class_map", None) or given.pop("class_names", None)
    given.pop("class_names", None)
    suggested = given | dict(suggest_settings(summary, **current).settings)
    read_as = mask_labels(**suggested, seen=summary)
    values = summary.colours or summary.values
    dtype = np.uint8 if summary.colours or 0 <= min(values) <= max(values) < 256 else np.int32
    palette = None if summary.palette is None else np.array(summary.palette, np.uint8)
    labels = read_as.labels(np.array([values], dtype), palette, "a.png")
    assert read_as.ignore_label >= len(read_as.class_names)
    assert {*labels.ravel().tolist()} <= {*range(len(read_as.class_names)), read_as.ignore_label}
    assert len({*labels.ravel().tolist()} - {read_as.ignore_label}) >= 2


def test_names_that_cannot_be_typed_are_shown_as_yaml():
    suggestion = suggest_settings(holding(1, 7, 9), class_map={"straße": 1, "null": 7})
    assert (suggestion.overrides, suggestion.typed) == ([], "")
    assert suggestion.advice.startswith("The masks hold what dataset.classes has not: 9. Write into a YAML file")
    written = yaml.safe_load(suggestion.advice.partition(" typed: ")[2])
    assert written == {"dataset": {"classes": {"straße": 1, "null": 7, "class_2": 9}}}


def test_more_grey_values_than_nameless_classes_are_no_ids():
    """Heavily smoothed masks, of which no value is rare; with names they may be what they seem."""
    summary = summarise(np.arange(150, dtype=np.uint8).reshape(10, 15))
    suggestion = suggest_settings(summary)
    assert suggestion.settings == {}
    assert "150 grey values, too many to be taken for classes without names" in suggestion.looks_like
    names = [f"thing_{number}" for number in range(150)]
    assert "too many" not in suggest_settings(summary, class_names=names).looks_like
    assert "too many" not in suggest_settings(summarise(np.arange(100, dtype=np.uint8)[None])).looks_like


def test_blended_edges_are_recognised():
    """A disc drawn with smoothing, as drawing programs export it by default."""
    large = np.zeros((640, 640), np.uint8)
    rows, columns = np.ogrid[:640, :640]
    large[(rows - 320) ** 2 + (columns - 320) ** 2 < 200**2] = 255
    smooth = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.LANCZOS))
    suggestion = suggest_settings(summarise(smooth))
    assert "anti-aliased" in suggestion.looks_like
    assert suggestion.overrides == []


def test_a_photo_is_no_mask_and_its_colours_are_not_all_kept():
    photo = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    summary = summarise(photo) + summarise(photo[::-1])
    assert (len(summary.colours), summary.masks) == (MOST_COLOURS_KEPT, 2)
    suggestion = suggest_settings(summary)
    assert "too many for classes" in suggestion.looks_like
    assert suggestion.overrides == []


def test_masks_of_both_kinds_are_told():
    assert "save all in one way" in suggest_settings(coloured((1, 2, 3)) + holding(0, 1)).looks_like


def test_summaries_add_up():
    one, other = np.array([[0, 0, 7]], np.uint8), np.array([[7, 300]], np.uint16)
    both = sum([summarise(one), summarise(other, [(1, 2, 3)])], ValueSummary())
    assert (both.pixels, both.masks, both.palette) == ({0: 2, 7: 2, 300: 1}, 2, ((1, 2, 3),))
    assert both.values == [0, 7, 300]
    assert both.highest == 300


def test_colours_are_counted_without_alpha():
    mask = np.array([[[1, 2, 3, 255], [1, 2, 3, 0], [255, 254, 253, 9]]], np.uint8)
    assert summarise(mask).pixels == {(1, 2, 3): 2, (255, 254, 253): 1}
