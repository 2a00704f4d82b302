"""Reads mask files: what they hold, and a refusal of what cannot hold labels."""

from pathlib import Path

import numpy as np

from segtrain.datasets.image_files import StoredImage, read_stored
from segtrain.datasets.problems import BadSampleError

# JPEG changes pixel values a little, which turns labels into other labels, so it is no format for masks.
MASK_SUFFIXES = {".png", ".bmp", ".tif", ".tiff", ".gif"}
JPEG_SUFFIXES = {".jpg", ".jpeg"}
_BANDS_OF_MODES = {"1": 1, "L": 1, "P": 1, "LA": 1, "PA": 1, "I;16": 1, "I;16B": 1, "I": 1, "RGB": 3, "RGBA": 4}


def read_mask(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns a mask as it is stored, upright.

    Returns:
        Values or palette indices `(height, width)`, uint8 or a wider integer type; or colours, uint8
        `(height, width, 3 or 4)`. And the colours by index, uint8 `(colours, 3)`, of a palette image, else None.

    Raises:
        ValueError: the file cannot be read, or is of a format that cannot hold labels; names it.
    """
    stored = read_stored(path)
    _require_labels(stored, path)
    bands = _BANDS_OF_MODES[stored.mode]
    pixels = stored.values[..., 0] if bands == 1 else stored.values
    return pixels, stored.palette


def read_labels(path: Path) -> np.ndarray:
    """Returns a mask whose grey values or palette indices are the labels, uint8 `(height, width)`.

    Raises:
        ValueError: the file cannot be read, or holds colours, or values above 255; names it.
    """
    pixels, _ = read_mask(path)
    if pixels.ndim != 2 or pixels.min(initial=0) < 0 or pixels.max(initial=0) > 255:
        held = "colours" if pixels.ndim == 3 else f"values {pixels.min()}..{pixels.max()}"
        kind = "wrong_format" if pixels.ndim == 3 else "wrong_label"
        raise BadSampleError(kind, f"{path}: a mask has to hold one label 0..255 per pixel. It holds {held}.")
    return pixels.astype(np.uint8)


def no_jpeg(path: Path) -> str:
    """Returns why a JPEG is no mask."""
    return (
        f"{path}: JPEG changes pixel values, so it cannot hold labels. "
        "Export the masks as PNG from where they were drawn."
    )


def _require_labels(stored: StoredImage, path: Path) -> None:
    if stored.format in ("JPEG", "MPO"):
        raise BadSampleError("wrong_format", no_jpeg(path))
    dtype, bands = stored.values.dtype, stored.values.shape[2]
    if not np.issubdtype(dtype, np.integer) or stored.mode not in _BANDS_OF_MODES:
        holds = f"{bands} channels (mode {stored.mode})" if stored.mode not in _BANDS_OF_MODES else f"{dtype} values"
        raise BadSampleError(
            "wrong_format",
            f"{path}: a mask has to hold one whole number per pixel (grey or palette image), or an RGB colour. It "
            f"holds {holds}. Export it as an 8-bit PNG.",
        )
    if _BANDS_OF_MODES[stored.mode] > 1 and dtype != np.uint8:
        raise BadSampleError(
            "wrong_format", f"{path}: a mask's colours have to have 8 bits a channel. It holds {dtype}. Export it so."
        )
