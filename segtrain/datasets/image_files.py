"""Reads image and mask files as they are stored, whatever their format, depth and orientation."""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import tifffile
from PIL import ExifTags, Image, UnidentifiedImageError

from segtrain.datasets.problems import BadSampleError

# Pillow's modes whose pixels are told by a colour that has to be worked out: a palette, inks, luma and chroma.
_MODES_OF_OTHER_COLOURS = {"P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB"}
# tifffile logs what is wrong with a file before it raises, and an error is told once here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
_JPEG_COMPRESSIONS = (6, 7)  # of TIFF: the old and the new way to have JPEG in it
_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Pillow knows forty formats by their content, whatever a file's name ends in, and hands some to other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
# 16384x16384, and as RGB 0.8 GB. Pillow takes two thirds of it for an attack; aerial mosaics are as large.
MOST_PIXELS = 2**28
MOST_SIDE = 2**16 - 1  # pixels in a row or column, as in JPEG; longer ones are no photographs, and OpenCV resizes none
MOST_BYTES = 16 * MOST_PIXELS  # of a TIFF, whose pixels may have bands without number
Image.MAX_IMAGE_PIXELS = None  # `require_few_pixels` is asked instead


@dataclass(frozen=True)
class StoredImage:
    """What a file holds, upright.

    Attributes:
        values: `(height, width, bands)` in the file's own type.
        mode: Pillow's name of what the bands are, or `bands` where Pillow has none.
        palette: RGB colours 0..255 by index, `(colours, 3)`, where the one band holds indices.
        format: the file's format, as its content says and not its ending; `JPEG` too of a TIFF with JPEG in it.
        pages: number of images in the file, of which this is the first.
    """

    values: np.ndarray
    mode: str
    palette: np.ndarray | None
    format: str
    pages: int = 1


def read_image(path: Path, *, channels: int = 3, white: int | None = None, is_settable: bool = False) -> np.ndarray:
    """Returns the file's pixels, turned as its orientation tag says.

    Args:
        path: the file.
        channels: channels to return. Grey is repeated for 3, and an alpha channel is dropped where it is not asked for;
            a palette image is RGB.
        white: the value that becomes 255 in images of more than 8 bits; values above it do too. None takes the highest
            of the file's type, which has to be of 16 bits at most then.
        is_settable: the dataset has settings `channels` and `white`, which messages may say to type.

    Returns:
        uint8 `(height, width, channels)` in 0..255.

    Raises:
        BadSampleError: the file cannot be read as an image, holds other channels, no integers, or integers of which
            nobody says what is white; names it.
    """
    stored = _read(path, as_colours=True)
    dtype = stored.values.dtype
    if not np.issubdtype(dtype, np.integer) or (dtype.itemsize > 2 and white is None):
        raise BadSampleError(
            "wrong_format",
            f"{path}: holds {dtype} values, and which of them is white cannot be known. "
            + _how_to_tell_white(dtype, is_settable),
        )
    values = stored.values * np.uint8(255) if stored.mode == "1" else stored.values
    return _with_channels(_in_eight_bits(values, white), stored, channels, path, is_settable)


def _how_to_tell_white(dtype: np.dtype, is_settable: bool) -> str:
    if not is_settable:
        return "Save it in integers of 8 or 16 bits."
    if np.issubdtype(dtype, np.integer):
        return "Type dataset.white=VALUE with that value, or save it in integers of 8 or 16 bits."
    return "Save it in integers of 8 or 16 bits; dataset.white=VALUE says which of those is white."


def read_stored(path: Path) -> StoredImage:
    """Returns what a file holds, palette indices as indices: what a mask is read with.

    Raises:
        ValueError: the file cannot be read as an image; names it.
    """
    return _read(path, as_colours=False)


def image_size(path: Path) -> tuple[int, int]:
    """Returns `(height, width)` as an upright image has them, from the file's header.

    Raises:
        ValueError: the file cannot be read as an image; names it.
    """
    with _opened(path) as file:
        picture = _picture(file)
        if picture is None:
            with tifffile.TiffFile(file) as tiff:
                page = tiff.pages.first
                height, width = page.imagelength, page.imagewidth
                require_few_pixels(height, width)
                turned = _tiff_orientation(page) in _LYING
        else:
            height, width = picture.height, picture.width
            require_few_pixels(height, width)
            turned = picture.format != "TIFF" and _orientation(picture) in _LYING  # of TIFF, Pillow tells it turned
    return (width, height) if turned else (height, width)


def read_palette(path: Path) -> list[tuple[int, int, int]] | None:
    """Returns the RGB colours 0..255 by index of a palette image, from its header; None of another image.

    Raises:
        ValueError: the file cannot be read as an image; names it.
    """
    with _opened(path) as file:
        picture = _picture(file)
        palette = None if picture is None else _palette(picture)
    return None if palette is None else [tuple(colour) for colour in palette.tolist()]


def opened_picture(file: BinaryIO) -> Image.Image:
    """Opens a file of a format that counts, not too large, with Pillow; decodes nothing yet."""
    picture = Image.open(file, formats=_FORMATS)
    require_few_pixels(picture.height, picture.width)
    return picture


def require_few_pixels(height: int, width: int) -> None:
    """Raises a ValueError where an image is too large to be decoded at once."""
    if max(height, width) > MOST_SIDE:
        raise ValueError(
            f"it has {height}x{width} pixels (height x width), and a side may have {MOST_SIDE:,}; cut image and mask "
            "into tiles"
        )
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"it has {height}x{width} pixels (height x width), and more than {MOST_PIXELS:,} are not decoded at once; "
            "cut image and mask into tiles"
        )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a file; whatever fails, while opening or decoding, is a BadSampleError that names it."""
    try:
        with open(path, "rb") as file:
            yield file
    except Exception as error:
        reason = "it is empty" if _is_empty(path) else str(error).replace(repr(str(path)), "it").strip()
        if isinstance(error, UnidentifiedImageError) and not _is_empty(path):
            reason = f"its content is in no image format that is known here: {', '.join(_FORMATS)}"
        raise BadSampleError(
            "unreadable", f"{path}: cannot be read as an image ({reason}). Replace the file or take it out."
        ) from error


def _is_empty(path: Path) -> bool:
    return os.path.exists(path) and os.path.getsize(path) == 0


def _picture(file: BinaryIO) -> Image.Image | None:
    """Opens with Pillow; returns None for a TIFF that Pillow knows nothing of."""
    try:
        return Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        if file.read(4) not in _TIFF_BEGINNINGS:
            raise
        file.seek(0)
        return None


def _read(path: Path, *, as_colours: bool) -> StoredImage:
    with _opened(path) as file:
        picture = _picture(file)
        if picture is None or _is_tiff_beyond_pillow(picture):
            return _read_tiff(file)
        require_few_pixels(picture.height, picture.width)
        orientation = 1 if picture.format == "TIFF" else _orientation(picture)  # Pillow turns TIFF when it decodes
        format_name = "JPEG" if _is_jpeg_in_tiff(picture) else picture.format
        picture.load()  # all of it, which finds a file that was cut
        if format_name == "PNG" and (deep := _mode_of_deep_png(file)):
            values, mode, palette = _read_deep_png(file), deep, None
            values = values[..., [0, 3]] if mode == "LA" else values  # OpenCV makes four channels of the two
        else:
            if as_colours and picture.mode in _MODES_OF_OTHER_COLOURS:
                transparent = picture.mode == "P" and "transparency" in picture.info
                picture = picture.convert("RGBA" if transparent else _MODES_OF_OTHER_COLOURS[picture.mode])
            values, mode, palette = np.asarray(picture), picture.mode, _palette(picture)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    values = values if values.ndim == 3 else values[..., None]
    return StoredImage(_upright(values, orientation), mode, palette, format_name)


def _palette(picture: Image.Image) -> np.ndarray | None:
    if picture.mode not in ("P", "PA"):
        return None
    return np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)


def _mode_of_deep_png(file: BinaryIO) -> str | None:
    """Returns what the channels of a PNG are where they have 16 bits, of which Pillow keeps 8; of one it keeps all."""
    file.seek(24)  # signature, length and name of the first chunk, width, height
    depth, colour_type = file.read(2)
    return {2: "RGB", 4: "LA", 6: "RGBA"}.get(colour_type) if depth == 16 else None


def _read_deep_png(file: BinaryIO) -> np.ndarray:
    file.seek(0)
    pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.dtype != np.uint16:
        raise ValueError("its 16-bit channels cannot be decoded")
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV has blue first


def _is_tiff_beyond_pillow(picture: Image.Image) -> bool:
    """Says whether Pillow would keep 8 bits of more, or 3 channels of more."""
    if picture.format != "TIFF":
        return False
    bits = picture.tag_v2.get(258, (1,))
    samples, photometric = picture.tag_v2.get(277, 1), picture.tag_v2.get(262, 1)
    return max(bits) > 8 or (samples not in (1, 3) and photometric in (0, 1, 2))


def _is_jpeg_in_tiff(picture: Image.Image) -> bool:
    return picture.format == "TIFF" and picture.tag_v2.get(259) in _JPEG_COMPRESSIONS


def _read_tiff(file: BinaryIO) -> StoredImage:
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        require_few_pixels(page.imagelength, page.imagewidth)
        if page.nbytes > MOST_BYTES:
            raise ValueError(f"it has {page.nbytes:,} bytes when decoded, and more than {MOST_BYTES:,} are not decoded")
        values = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and values.ndim == 2:
            values = _with_white_high(values, page.bitspersample)
        if values.ndim == 2:
            values = values[..., None]
        elif page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            values = np.moveaxis(values, 0, -1)
        # Files of photographs often leave out what a fourth sample is: it is alpha then, and 0 says it is none.
        has_alpha = any(kind != tifffile.EXTRASAMPLE.UNSPECIFIED for kind in page.extrasamples)
        is_rgb = page.photometric == tifffile.PHOTOMETRIC.RGB
        by_bands = {1: "L", 2: "LA" if has_alpha else "bands", 3: "RGB" if is_rgb else "bands"}
        mode = by_bands.get(values.shape[2], "RGBA" if has_alpha and is_rgb and values.shape[2] == 4 else "bands")
        format_name = "JPEG" if page.compression in _JPEG_COMPRESSIONS else "TIFF"
        return StoredImage(_upright(values, _tiff_orientation(page)), mode, None, format_name, len(tiff.pages))


def _with_white_high(values: np.ndarray, bits: int) -> np.ndarray:
    """Returns the grey values of a file whose lowest is white as Pillow does those of 8 bits, with white the highest.

    Values that are signed or no integers are returned as they are: which of them is black nothing says.
    """
    if not np.issubdtype(values.dtype, np.unsignedinteger):
        return values
    return (2**bits - 1 - values.astype(np.uint64)).astype(values.dtype)


def _tiff_orientation(page: tifffile.TiffPage) -> int:
    tag = page.tags.get("Orientation")
    return int(tag.value) if tag else 1


def _orientation(picture: Image.Image) -> int:
    # PNG's own getexif decodes the whole image to look behind it; the standard wants the chunk in front.
    return Image.Image.getexif(picture).get(ExifTags.Base.Orientation, 1)


_LYING = (5, 6, 7, 8)  # orientations that swap height and width


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors `(height, width, bands)` as EXIF's orientation 1..8 says; another number says nothing."""
    if orientation in _LYING:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _in_eight_bits(values: np.ndarray, white: int | None) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    white = np.iinfo(values.dtype).max if white is None else white
    return np.rint(np.clip(values, 0, white) * (255 / white)).astype(np.uint8)


def _with_channels(pixels: np.ndarray, stored: StoredImage, channels: int, path: Path, is_settable: bool) -> np.ndarray:
    bands = pixels.shape[2]
    if stored.mode in ("LA", "RGBA") and bands != channels:
        pixels = pixels[..., :-1]
    if pixels.shape[2] == 1 and channels == 3:
        return pixels.repeat(3, axis=2)
    if pixels.shape[2] != channels:
        pages = f" Of its {stored.pages} pages only the first is read; channels have to be in one." * (stored.pages > 1)
        asked = f"dataset.channels={channels} asks for {channels}" if is_settable else f"{channels} are needed"
        remedy = f"Type dataset.channels={bands}, or take out or convert" if is_settable else "Take out or convert"
        raise BadSampleError(
            "wrong_format", f"{path}: holds {bands} channels, where {asked}.{pages} {remedy} the file."
        )
    return np.ascontiguousarray(pixels)
