"""What masks look like; `suggest_settings`, which words it, has its own tests."""

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.file_pairs import FilePairs
from segtrain.datasets.mask_coding import ValueSummary, summarise
from segtrain.inspection.mask_values import look_at_mask, suggest_for, values_as_dict


@pytest.fixture
def mask_file(tmp_path):
    """Saves a mask; returns the split that has it alone."""

    def save(picture: Image.Image) -> FilePairs:
        picture.save(tmp_path / "a.png")
        return FilePairs(tmp_path, tmp_path, [("a.png", "a.png")])

    return save


def palette_mask(values):
    picture = Image.fromarray(np.uint8(values), mode="P")
    picture.putpalette([0, 0, 0, 128, 0, 0, 9, 8, 7])
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7), np.uint8)),
        palette_mask([[0, 1, 2], [2, 2, 1]]),
        Image.fromarray(np.random.default_rng(0).integers(0, 2, (9, 7, 3), np.uint8) * 255),
        Image.fromarray(np.random.default_rng(0).integers(0, 2000, (9, 7)).astype(np.uint16)),
    ],
    ids=["grey", "palette", "colours", "16 bits"],
)
def test_a_mask_is_looked_at_as_it_is_stored(mask_file, picture):
    samples = mask_file(picture)
    found = look_at_mask(samples, 0)
    assert found == summarise(samples.mask_pixels(0), samples.mask_palette(0))
    pixels = np.asarray(picture)
    values, counts = np.unique(pixels.reshape(-1, *pixels.shape[2:]), axis=0, return_counts=True)
    expected = {tuple(v) if np.ndim(v) else int(v): int(n) for v, n in zip(values.tolist(), counts, strict=True)}
    assert dict(found.pixels) == expected


def test_where_there_is_no_mask_to_read_nothing_is_seen(tmp_path, shapes_dataset):
    assert look_at_mask(shapes_dataset.split("train"), 0) == ValueSummary()
    (tmp_path / "a.png").write_bytes(b"")
    assert look_at_mask(FilePairs(tmp_path, tmp_path, [("a.png", "a.png")]), 0) == ValueSummary()
    assert suggest_for(ValueSummary(), {}, 255) is None


def test_what_cannot_be_set_is_not_suggested():
    values = ValueSummary({0: 10, 255: 5}, 1)
    assert suggest_for(values, {"root": "a"}, 255).settings == {}
    assert suggest_for(values, {"root": "a", "mask": "ids", "classes": None}, 255).settings == {"mask": "binary"}


@pytest.mark.parametrize(
    ("values", "classes", "settings"),
    [
        ([0, 1, 3, 255], None, {"classes": {"class_0": 0, "class_1": 1, "class_3": 3}}),
        ([0, 1, 2, 255], None, {}),
    ],
)
def test_who_gave_no_names_may_have_meant_no_gap(values, classes, settings):
    found = suggest_for(ValueSummary(dict.fromkeys(values, 9), 1), {"mask": "ids", "classes": classes}, 255)
    assert found.settings == settings


def test_the_commonest_values_are_told_and_the_others_counted():
    values = ValueSummary({value: 1 + value % 200 for value in range(250)}, 1)
    told = values_as_dict(values, suggest_for(values, {}, 255))
    assert len(told["values"]) == 100
    assert told["values"][0] == {"value": 199, "pixels": 200}
    assert told["more_values"] == 150
    pixels = [each["pixels"] for each in told["values"]]
    assert pixels == sorted(pixels, reverse=True)
