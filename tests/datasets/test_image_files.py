import re

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.image_files import read_image
from segtrain.datasets.mask_files import read_labels

COLOURS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


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


@pytest.mark.parametrize("pixels", [COLOURS, COLOURS[..., 0] + np.uint16(300)], ids=["RGB", "16 bit"])
def test_a_mask_that_holds_no_labels_is_refused(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"mask\.png: a mask has to hold one label 0\.\.255 per pixel\. It holds "):
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
