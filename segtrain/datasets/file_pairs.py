"""A split made of image files and mask files."""

import array
import bisect
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
# JPEG changes pixel values a little, which turns labels into other labels, so it is no format for masks.
MASK_SUFFIXES = {".png", ".bmp", ".tif", ".tiff", ".gif"}


class NamePairs:
    """Pairs of file names in one run of bytes: 17 bytes a pair beside the letters, and a stem of both held once.

    A list of tuples of two str takes 200 beside the letters. The bytes are the file system's, so that a name in
    another encoding than UTF-8 is kept too; NumPy's strings refuse it.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]):
        letters, starts, shared = bytearray(), array.array("q", [0]), array.array("B")
        for first, second in pairs:
            stem = _stem(first)
            common = len(stem) if second.startswith(stem) and len(stem) < 256 else 0
            shared.append(common)
            for name in (first, second[common:]):
                letters += os.fsencode(name)
                starts.append(len(letters))
        # Copies, without the room for more names that these have grown.
        self._letters, self._starts, self._shared = bytes(letters), np.array(starts), np.array(shared)

    def __len__(self) -> int:
        return len(self._shared)

    def __getitem__(self, index: int) -> tuple[str, str]:
        index = range(len(self))[index]
        first, rest_of_second = self._between(2 * index), self._between(2 * index + 1)
        return first, first[: self._shared[index]] + rest_of_second

    def _between(self, place: int) -> str:
        return os.fsdecode(self._letters[self._starts[place] : self._starts[place + 1]])


class FilePairs:
    """Image and mask files in two folders, matched by name. Implements `Split`."""

    def __init__(self, image_folder: Path, mask_folder: Path, pairs: Iterable[tuple[str, str]]):
        """Keeps the names; opens nothing.

        Args:
            image_folder: folder of the images.
            mask_folder: folder of the masks.
            pairs: `(image file name, mask file name)`, relative to those folders.
        """
        self._image_folder = image_folder
        self._mask_folder = mask_folder
        self._names = NamePairs(pairs)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return _stem(os.path.basename(self._names[index][0]))

    def source(self, index: int) -> str:
        return str(self._mask_folder / self._names[index][1])

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        image_name, mask_name = self._names[index]
        return image_size(self._image_folder / image_name), image_size(self._mask_folder / mask_name)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image_name, mask_name = self._names[index]
        return read_image(self._image_folder / image_name), read_labels(self._mask_folder / mask_name)


def list_files(folder: Path, suffixes: set[str]) -> list[str]:
    """Returns the names of the files in `folder` that have one of the suffixes, sorted; hidden files are left out.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    return sorted(
        name
        for name in os.listdir(folder)
        if os.path.splitext(name)[1].lower() in suffixes and not name.startswith(".")
    )


class NamesByStem(Mapping[str, str]):
    """File names by their stems, in one sorted list.

    A dict of 100,000 has its table in a block of 5 MB, which the C library does not give back to the system.
    """

    def __init__(self, names: Iterable[str]):
        self.names = sorted(names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return map(_stem, self.names)

    def __getitem__(self, stem: str) -> str:
        place = self.place(stem)
        if place is None:
            raise KeyError(stem)
        return self.names[place]

    def place(self, stem: str) -> int | None:
        """Returns where in `names` the first name of that stem is."""
        beginning = f"{stem}."
        place = bisect.bisect_left(self.names, beginning)
        # Among "a.b.png" and "a.png", which begin alike and so lie together, only the second has the stem "a".
        while place < len(self.names) and self.names[place].startswith(beginning):
            if self.names[place].rfind(".") == len(stem):
                return place
            place += 1
        return None


def names_by_stem(folder: Path, names: Iterable[str]) -> NamesByStem:
    """Returns the names of files in `folder` by their stems.

    Raises:
        ValueError: two have the same stem, so that neither image and mask nor prediction could be told apart.
    """
    by_stem = NamesByStem(names)
    for name in by_stem.names:
        first = by_stem[_stem(name)]
        if first != name:
            raise ValueError(f"{folder / first} and {folder / name} differ in their endings alone. Rename one.")
    return by_stem


def masks_by_stem(mask_folder: Path) -> NamesByStem:
    """Returns the names of the mask files in a folder by their stems.

    Raises:
        ValueError: there is no such folder, or two masks have the same stem.
    """
    return names_by_stem(mask_folder, list_files(mask_folder, MASK_SUFFIXES))


def match_masks(
    image_folder: Path, mask_folder: Path, image_names: Iterable[str], masks: Mapping[str, str]
) -> FilePairs:
    """Finds for each image the mask of the same stem.

    Args:
        image_folder: folder of the images.
        mask_folder: folder of the masks.
        image_names: file names of the images.
        masks: `masks_by_stem(mask_folder)`, which several splits may share.

    Raises:
        ValueError: an image has no mask, or its mask is a JPEG; names the file.
    """

    def mask_of(image_name: str) -> str:
        stem = _stem(image_name)
        mask_name = masks.get(stem)
        if mask_name is None:
            raise ValueError(_no_mask(image_folder / image_name, mask_folder, stem))
        return mask_name

    return FilePairs(image_folder, mask_folder, ((name, mask_of(name)) for name in image_names))


def read_image(path: Path) -> np.ndarray:
    """Returns the file's pixels as uint8 `(height, width, 3)`, RGB in 0..255.

    Raises:
        ValueError: the file cannot be read as an image.
    """
    with _opened(path) as picture:
        return np.asarray(picture.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """Returns `(height, width)` from the file's header.

    Raises:
        ValueError: the file cannot be read as an image.
    """
    with _opened(path) as picture:
        return picture.height, picture.width


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


def _stem(name: str) -> str:
    # A start with 100,000 pairs asks a million times, and a Path or splitext each time is most of it.
    return name.rpartition(".")[0] or name


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
