"""What images are before they are decoded: their channels and depth, from the files' headers."""

import contextlib

import tifffile
from PIL import Image

# Pillow's names of what is not told by the number of channels alone; all others are of 8 bits.
_BY_MODE = {"1": ("grey", 1), "L": ("grey", 8), "P": ("palette", 8), "LA": ("grey and alpha", 8), "CMYK": ("CMYK", 8)}
_GREY_OF_MORE_BITS = {"I": 16, "I;16": 16, "I;16B": 16, "F": 32}  # a PNG's 16 bits are "I" to some versions of Pillow
_OF_TIFF = {
    tifffile.PHOTOMETRIC.RGB: {3: "RGB", 4: "RGBA"},
    tifffile.PHOTOMETRIC.PALETTE: {1: "palette"},
    tifffile.PHOTOMETRIC.MINISBLACK: {1: "grey"},
    tifffile.PHOTOMETRIC.MINISWHITE: {1: "grey"},
}


def kind_of_file(path: str) -> str | None:
    """Returns an image file's channels and depth, such as `RGB, 8 bits`; None where its header cannot be read."""
    with contextlib.suppress(Exception):  # whatever a broken file makes of a reader is told when it is decoded
        with open(path, "rb") as file:
            beginning = file.read(26)
            file.seek(0)
            if beginning[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                channels, bits = _of_tiff(file)
            else:
                channels, bits = _of_picture(Image.open(file).mode)
                if beginning[1:4] == b"PNG" and channels != "palette":
                    bits = beginning[24]  # Pillow tells 16 bits a channel only of grey ones
        return f"{channels}, {bits} bit{'s' * (bits != 1)}"
    return None


def kind_as_read(channels: int) -> str:
    """Returns the same in words of an image that is no file, which is uint8 as it is read."""
    return f"{_by_number(channels)}, 8 bits"


def _of_picture(mode: str) -> tuple[str, int]:
    if mode in _GREY_OF_MORE_BITS:
        return "grey", _GREY_OF_MORE_BITS[mode]
    return _BY_MODE.get(mode, (mode, 8))


def _of_tiff(file) -> tuple[str, int]:
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        number = page.samplesperpixel
        return _OF_TIFF.get(page.photometric, {}).get(number, f"{number} channels"), page.bitspersample


def _by_number(channels: int) -> str:
    return {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
