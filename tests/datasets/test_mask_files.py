import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.datasets.mask_files import read_labels, read_mask

COLOURS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (40, 50, 3), np.uint16)


def test_a_mask_of_one_bit_holds_zero_and_one(tmp_path):
    object_pixels = COLOURS[..., 0] > 127
    Image.fromarray(object_pixels).save(tmp_path / "mask.png")
    labels = read_labels(tmp_path / "mask.png")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, object_pixels.astype(int))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_deep_mask_is_read_as_it_is(tmp_path, suffix):
    Image.fromarray(DEEP[..., 0]).save(tmp_path / f"mask{suffix}")
    pixels, palette = read_mask(tmp_path / f"mask{suffix}")
    np.testing.assert_array_equal(pixels, DEEP[..., 0])
    assert palette is None


@pytest.mark.parametrize("pixels", [COLOURS, COLOURS[..., 0] + np.uint16(300)], ids=["RGB", "16 bit"])
def test_a_mask_that_holds_no_labels_is_refused(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"mask\.png: a mask has to hold one label 0\.\.255 per pixel\. It holds "):
        read_labels(tmp_path / "mask.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_jpeg_is_no_mask_whatever_its_name(tmp_path, suffix):
    Image.fromarray(COLOURS[..., 0]).save(tmp_path / f"mask{suffix}", format="JPEG")
    with pytest.raises(ValueError, match=rf"mask\{suffix}: JPEG changes pixel values"):
        read_mask(tmp_path / f"mask{suffix}")


@pytest.mark.parametrize("mode", ["CMYK", "RGB of 16 bits", "two bands"])
def test_other_masks_are_refused(tmp_path, mode):
    path = tmp_path / "mask.tif"
    if mode == "CMYK":
        Image.fromarray(COLOURS).convert("CMYK").save(path)
    elif mode == "two bands":
        tifffile.imwrite(path, COLOURS[..., :2], photometric="minisblack", planarconfig="contig")
    else:
        tifffile.imwrite(path, DEEP, photometric="rgb")
    with pytest.raises(ValueError, match=r"mask\.tif: a mask('s colours)? ha(s|ve) to (hold|have)"):
        read_mask(path)
