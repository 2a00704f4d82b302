import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.file_pairs import (
    IMAGE_SUFFIXES,
    FilePairs,
    list_files,
    masks_by_stem,
    match_masks,
    names_by_stem,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def test_files_are_listed_sorted_without_hidden_ones(tmp_path):
    for name in ("b.PNG", "a.jpg", "._a.jpg", ".hidden.png", "notes.txt", "Thumbs.db", "c"):
        (tmp_path / name).touch()
    assert list_files(tmp_path, IMAGE_SUFFIXES) == ["a.jpg", "b.PNG"]
    with pytest.raises(ValueError, match="There is no folder .*gone"):
        list_files(tmp_path / "gone", IMAGE_SUFFIXES)


def test_matching_opens_no_file(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.tif").touch()
    images, masks = tmp_path / "images", tmp_path / "masks"
    pairs = FilePairs(images, masks, match_masks(images, masks, ["a.jpg"], masks_by_stem(masks)))
    assert (len(pairs), pairs.name(0), pairs.source(0)) == (1, "a", str(tmp_path / "masks" / "a.tif"))


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("a.png", "a.png")],
        [("a.jpg", "a.png"), ("a.b.jpg", "a.b.tif"), ("a-1.JPG", "a-1.PNG"), ("ü ñ 海.png", "ü ñ 海.bmp")],
        [("berlin_leftImg8bit.png", "berlin_labels.png"), ("ab.png", "a.png"), ("a.png", "ab.png"), ("a", "b")],
        [(f"{'x' * 251}.png", f"{'x' * 251}.tif"), (f"{'long/' * 80}a.png", f"{'long/' * 80}a.tif")],
        [(os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"caf\xe9.tif")), (os.fsdecode(b"\xe9"), os.fsdecode(b"\xc3"))],
    ],
    ids=["none", "one", "same stems", "other stems", "long", "not UTF-8"],
)
def test_names_come_back_as_they_were(pairs):
    split = FilePairs(Path("images"), Path("masks"), iter(pairs))
    assert len(split) == len(pairs)
    for index, (image_name, mask_name) in enumerate(pairs):
        assert split.name(index) == os.path.splitext(image_name)[0].replace("/", "-")
        assert split.source(index) == str(Path("masks", mask_name))
        with pytest.raises(ValueError, match=re.escape(str(Path("images", image_name)))):  # the file read is that one
            split.read(index)
    with pytest.raises(IndexError):
        split.name(len(pairs))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_files_whose_names_are_no_utf8_are_read(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(COLOURS[..., 0]).save(tmp_path / folder / name)
    masks = tmp_path / "masks"
    images = tmp_path / "images"
    _, labels = FilePairs(images, masks, match_masks(images, masks, [name], masks_by_stem(masks))).read(0)
    np.testing.assert_array_equal(labels, COLOURS[..., 0])


def test_stems_find_names_among_others_that_begin_alike(tmp_path):
    names = ["a.png", "a.b.png", "a.b.c.tif", "a-1.png", "a b.png", "ab.PNG", "a.0.png", "b.png"]
    by_stem = names_by_stem(tmp_path, names)
    assert dict(by_stem) == {Path(name).stem: name for name in names}
    for stem in ("", "a.", "a.c", "A", "b.b", "c", "a.b.c.tif"):
        assert stem not in by_stem


@pytest.mark.parametrize("second", ["a.b.PNG", "a.b.bmp", "a.b.tiff"])
def test_names_that_differ_in_their_endings_alone_are_refused(tmp_path, second):
    """Others may lie between them in the order of names."""
    with pytest.raises(ValueError, match=r"a\.b\..*differ in their endings alone"):
        names_by_stem(tmp_path, ["a.b.c.png", "a.b.png", "a.png", second])


def test_a_jpeg_beside_an_image_with_brackets_in_its_name_is_told_from_no_mask(tmp_path):
    """File names are no patterns."""
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "a[1].jpg").touch()
    with pytest.raises(ValueError, match="JPEG"):
        list(match_masks(tmp_path / "images", masks, ["a[1].png"], masks_by_stem(masks)))
