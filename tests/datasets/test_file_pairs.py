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
    read_image,
    read_labels,
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
    pairs = match_masks(images, masks, ["a.jpg"], masks_by_stem(masks))
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
        assert split.name(index) == Path(image_name).stem
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
    _, labels = match_masks(tmp_path / "images", masks, [name], masks_by_stem(masks)).read(0)
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


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("RGB", COLOURS), ("RGBA", COLOURS), ("L", COLOURS[..., :1].repeat(3, axis=2))],
)
def test_images_become_rgb(tmp_path, mode, expected):
    picture = Image.fromarray(COLOURS[..., 0]) if mode == "L" else Image.fromarray(COLOURS).convert(mode)
    picture.save(tmp_path / "image.png")
    image = read_image(tmp_path / "image.png")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


def test_a_palette_image_shows_its_colours_and_a_palette_mask_its_indices(tmp_path):
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    picture = Image.fromarray(indices, mode="P")
    picture.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png"), indices)
    table = np.uint8([[0, 0, 0], [10, 20, 30], [200, 100, 50]])
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), table[indices])


def test_a_mask_of_one_bit_holds_zero_and_one(tmp_path):
    object_pixels = COLOURS[..., 0] > 127
    Image.fromarray(object_pixels).save(tmp_path / "mask.png")
    labels = read_labels(tmp_path / "mask.png")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, object_pixels.astype(int))


@pytest.mark.parametrize("pixels", [COLOURS, COLOURS[..., 0].astype(np.uint16)], ids=["RGB", "16 bit"])
def test_a_mask_that_holds_no_labels_is_refused(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"mask\.png.*8-bit label.*Received: mode "):
        read_labels(tmp_path / "mask.png")


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9])
def test_a_cut_file_is_named(tmp_path, read, suffix, share):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    Image.fromarray(COLOURS[..., 0]).save(whole)
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read(path)


def test_bytes_turned_over_are_never_another_error_than_one_that_names_the_file(tmp_path):
    path, rng, refused = tmp_path / "noise.png", np.random.default_rng(0), 0
    Image.fromarray(COLOURS).save(path)
    whole = path.read_bytes()
    for _ in range(300):
        changed = bytearray(whole)
        for place in rng.integers(0, 120, 3):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            read_image(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017  (which bytes are fatal is Pillow's affair)
            refused += 1
    assert refused > 200


def test_a_jpeg_beside_an_image_with_brackets_in_its_name_is_told_from_no_mask(tmp_path):
    """File names are no patterns."""
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "a[1].jpg").touch()
    with pytest.raises(ValueError, match="JPEG"):
        match_masks(tmp_path / "images", masks, ["a[1].png"], masks_by_stem(masks))
