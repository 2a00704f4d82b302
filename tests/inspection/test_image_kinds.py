"""Channels and depth from headers, against files that others wrote."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.inspection.image_kinds import kind_as_read, kind_of_file


def by_pillow(mode, name="image.png"):
    def write(folder):
        Image.new(mode, (5, 4)).save(folder / name)
        return folder / name

    return write


def by_opencv(channels, name="image.png"):
    def write(folder):
        cv2.imwrite(str(folder / name), np.zeros((4, 5, channels), np.uint16))
        return folder / name

    return write


def by_tifffile(shape, dtype, **options):
    def write(folder):
        tifffile.imwrite(folder / "image.tif", np.zeros(shape, dtype), **options)
        return folder / "image.tif"

    return write


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (by_pillow("L"), "grey, 8 bits"),
        (by_pillow("1"), "grey, 1 bit"),
        (by_pillow("RGB"), "RGB, 8 bits"),
        (by_pillow("RGBA"), "RGBA, 8 bits"),
        (by_pillow("LA"), "grey and alpha, 8 bits"),
        (by_pillow("P"), "palette, 8 bits"),
        (by_pillow("I;16"), "grey, 16 bits"),
        (by_opencv(1), "grey, 16 bits"),
        (by_opencv(3), "RGB, 16 bits"),
        (by_opencv(4), "RGBA, 16 bits"),
        (by_pillow("L", "image.jpg"), "grey, 8 bits"),
        (by_pillow("RGB", "image.jpg"), "RGB, 8 bits"),
        (by_pillow("CMYK", "image.jpg"), "CMYK, 8 bits"),
        (by_pillow("RGB", "image.bmp"), "RGB, 8 bits"),
        (by_pillow("RGBA", "image.webp"), "RGBA, 8 bits"),
        (by_pillow("RGB", "image.tif"), "RGB, 8 bits"),
        (by_pillow("P", "image.tif"), "palette, 8 bits"),
        (by_tifffile((4, 5), np.uint16), "grey, 16 bits"),
        (by_tifffile((4, 5), np.float32), "grey, 32 bits"),
        (by_tifffile((4, 5, 3), np.uint16, photometric="rgb"), "RGB, 16 bits"),
        (by_tifffile((4, 5, 5), np.uint8, photometric="minisblack", planarconfig="contig"), "5 channels, 8 bits"),
        (by_tifffile((5, 4, 5), np.uint16, photometric="minisblack", planarconfig="separate"), "5 channels, 16 bits"),
    ],
)
def test_what_a_file_holds(tmp_path, write, kind):
    assert kind_of_file(str(write(tmp_path))) == kind


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"II*\0 and nothing more"])
def test_of_a_broken_file_nothing_is_said(tmp_path, content):
    (tmp_path / "image.png").write_bytes(content)
    assert kind_of_file(str(tmp_path / "image.png")) is None
    assert kind_of_file(str(tmp_path / "no image.png")) is None


def test_what_is_no_file_is_what_was_read():
    assert [kind_as_read(channels) for channels in (1, 3, 5)] == ["grey, 8 bits", "RGB, 8 bits", "5 channels, 8 bits"]
