"""A split made of image files and mask files."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
# JPEG changes pixel values a little, which turns labels into other labels, so it is no format for masks.
MASK_SUFFIXES = {".png", ".bmp", ".tif", ".tiff", ".gif"}


class FilePairs:
    """Image and mask files in two folders, matched by name. Implements `Split`."""

    def __init__(self, image_folder: Path, mask_folder: Path, pairs: Sequence[tuple[str, str]]):
        """Keeps the pairs; opens nothing.

        Args:
            image_folder: folder of the images.
            mask_folder: folder of the masks.
            pairs: `(image file name, mask file name)`, relative to those folders.
        """
        self._image_folder = image_folder
        self._mask_folder = mask_folder
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, index: int) -> str:
        return Path(self._pairs[index][0]).stem

    def source(self, index: int) -> str:
        return str(self._mask_folder / self._pairs[index][1])

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        image_name, mask_name = self._pairs[index]
        return _header_size(self._image_folder / image_name), _header_size(self._mask_folder / mask_name)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image_name, mask_name = self._pairs[index]
        return read_image(self._image_folder / image_name), read_labels(self._mask_folder / mask_name)


def list_files(folder: Path, suffixes: set[str]) -> list[str]:
    """Returns the names of the files in `folder` that have one of the suffixes, sorted; hidden files are left out.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    return sorted(
        entry.name for entry in folder.iterdir() if entry.suffix.lower() in suffixes and not entry.name.startswith(".")
    )


def names_by_stem(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Returns file names by their stems.

    Raises:
        ValueError: two have the same stem, so that neither image and mask nor prediction could be told apart.
    """
    by_stem: dict[str, str] = {}
    for name in names:
        first = by_stem.setdefault(Path(name).stem, name)
        if first != name:
            raise ValueError(f"{folder / first} and {folder / name} differ in their endings alone. Rename one.")
    return by_stem


def match_masks(image_folder: Path, mask_folder: Path, image_names: Sequence[str]) -> FilePairs:
    """Finds for each image the mask of the same stem.

    Raises:
        ValueError: an image has no mask, or its mask is a JPEG; names the file.
    """
    masks = names_by_stem(mask_folder, list_files(mask_folder, MASK_SUFFIXES))
    pairs = []
    for image_name in image_names:
        stem = Path(image_name).stem
        if stem not in masks:
            raise ValueError(_no_mask(image_folder / image_name, mask_folder, stem))
        pairs.append((image_name, masks[stem]))
    return FilePairs(image_folder, mask_folder, pairs)


def read_image(path: Path) -> np.ndarray:
    """Returns the file's pixels as uint8 `(height, width, 3)`, RGB in 0..255.

    Raises:
        ValueError: the file cannot be read as an image.
    """
    with _opened(path) as picture:
        return np.asarray(picture.convert("RGB"))


def read_labels(path: Path) -> np.ndarray:
    """Returns the label of each pixel as uint8 `(height, width)`: grey values, or a palette image's indices.

    Raises:
        ValueError: the file cannot be read, or holds colours and not labels.
    """
    with _opened(path) as picture:
        mode, pixels = picture.mode, np.asarray(picture)
    if mode not in ("L", "P", "1"):
        raise ValueError(
            f"{path}: a mask has to hold one 8-bit label per pixel (a grey or palette image, Pillow mode L or P). "
            f"Received: mode {mode}."
        )
    return pixels.astype(np.uint8)


def _header_size(path):
    with _opened(path) as picture:
        return picture.height, picture.width


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Opens a file with Pillow; whatever fails, while opening or decoding, is a ValueError that names the file."""
    try:
        with Image.open(path) as picture:
            yield picture
    except Exception as error:
        raise ValueError(f"{path}: cannot be read as an image ({error}). Replace the file or take it out.") from error


def _no_mask(image, mask_folder, stem):
    candidates = (mask_folder / f"{stem}{suffix}" for suffix in (".jpg", ".jpeg", ".JPG", ".JPEG"))
    jpeg = next((path for path in candidates if path.exists()), None)
    if jpeg is not None:
        return (
            f"{jpeg}: JPEG changes pixel values, so it cannot hold labels. "
            "Export the masks as PNG from where they were drawn."
        )
    allowed = ", ".join(f"{stem}{suffix}" for suffix in sorted(MASK_SUFFIXES))
    return f"{image}: no mask in {mask_folder}. It needs one of: {allowed}. Add the mask or take the image out."
