"""A split made of image files and mask files."""

import array
import bisect
import copy
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from segtrain.datasets.image_files import image_size, read_image, read_palette
from segtrain.datasets.mask_coding import Colour
from segtrain.datasets.mask_files import JPEG_SUFFIXES, MASK_SUFFIXES, no_jpeg, read_labels, read_mask
from segtrain.datasets.mask_labels import MaskLabels
from segtrain.datasets.problems import Problem, Tell, refuse

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


class NamePairs:
    """Pairs of file names in one run of bytes: 17 bytes a pair beside the letters, and a stem of both held once.

    A list of tuples of two str takes 200 beside the letters. The bytes are the file system's, so that a name in
    another encoding than UTF-8 is kept too; NumPy's strings refuse it.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]):
        letters, starts, shared = bytearray(), array.array("q", [0]), array.array("B")
        for first, second in pairs:
            stem = stem_of(first)
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

    def __init__(
        self,
        image_folder: Path,
        mask_folder: Path,
        pairs: Iterable[tuple[str, str]],
        *,
        mask_labels: MaskLabels | None = None,
        channels: int = 3,
        white: int | None = None,
        is_settable: bool = False,
    ):
        """Keeps the names; opens nothing.

        Args:
            image_folder: folder of the images.
            mask_folder: folder of the masks.
            pairs: `(image file name, mask file name)`, relative to those folders.
            mask_labels: how masks are read; None takes grey values and palette indices for labels.
            channels: channels of the images.
            white: value that becomes 255 in images of more than 8 bits; see `read_image`.
            is_settable: the dataset has settings `channels` and `white`, which messages may say to type.
        """
        self._image_folder = image_folder
        self._mask_folder = mask_folder
        self._names = NamePairs(pairs)
        self._mask_labels = mask_labels
        self._channels, self._white, self._is_settable = channels, white, is_settable

    def with_masks_read_as(self, mask_labels: MaskLabels) -> "FilePairs":
        """Returns the same files with masks read in another way; the names are held once."""
        other = copy.copy(self)
        other._mask_labels = mask_labels
        return other

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return flat_name(self._names[index][0])

    def source(self, index: int) -> str:
        return str(self._mask_folder / self._names[index][1])

    def image_source(self, index: int) -> str:
        """Returns the path of the image."""
        return str(self._image_folder / self._names[index][0])

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        image_name, mask_name = self._names[index]
        return image_size(self._image_folder / image_name), image_size(self._mask_folder / mask_name)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image_name, mask_name = self._names[index]
        mask = self._mask_folder / mask_name
        image = read_image(
            self._image_folder / image_name,
            channels=self._channels,
            white=self._white,
            is_settable=self._is_settable,
        )
        if self._mask_labels is None:
            return image, read_labels(mask)
        return image, self._mask_labels.labels(*read_mask(mask), str(mask))

    def mask_pixels(self, index: int) -> np.ndarray:
        """Returns the mask as it is stored, upright.

        Returns:
            Values or palette indices `(height, width)`, an integer type; or colours, uint8 `(height, width, 3 or 4)`.

        Raises:
            ValueError: the file cannot be read, or is of a format that cannot hold labels; names it.
        """
        return read_mask(Path(self.source(index)))[0]

    def mask_palette(self, index: int) -> list[Colour] | None:
        """Returns the RGB colours 0..255 by index of a palette image, from its header; None of another one.

        Raises:
            ValueError: the file cannot be read; names it.
        """
        return read_palette(Path(self.source(index)))


def flat_name(file_name: str) -> str:
    """Returns a relative path without its ending as one word, which can be a file's name: `a/b.png` is `a-b`."""
    return stem_of(file_name).replace("/", "-")


def list_files(folder: Path, suffixes: set[str], *, nested: bool = False, without: Collection[Path] = ()) -> list[str]:
    """Returns the names of the files in `folder` that have one of the suffixes, sorted; hidden files are left out.

    Args:
        folder: the folder.
        suffixes: endings in lower case.
        nested: take the files of folders within too, by their paths from `folder`, with "/" on every system.
        without: folders within that are left out.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    return sorted(_walk(folder, "", suffixes, nested, without, above=()))


def _walk(
    folder: Path, prefix: str, suffixes: set[str], nested: bool, without: Collection[Path], above: tuple[Path, ...]
) -> Iterator[str]:
    above = (*above, (folder / prefix).resolve())
    with os.scandir(folder / prefix) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                if os.path.splitext(entry.name)[1].lower() in suffixes:
                    yield prefix + entry.name
            # A link to a folder it lies in would have no end.
            elif nested and Path(entry.path) not in without and Path(entry.path).resolve() not in above:
                yield from _walk(folder, f"{prefix}{entry.name}/", suffixes, nested, without, above)


class NamesByStem(Mapping[str, str]):
    """File names by their stems, in one sorted list.

    A dict of 100,000 has its table in a block of 5 MB, which the C library does not give back to the system.
    """

    def __init__(self, names: Iterable[str]):
        self.names = sorted(names)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return map(stem_of, self.names)

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

    def longer(self, stem: str) -> str | None:
        """Returns a name that has something behind the stem, such as "a_mask.png" for "a", and not "ab.png"."""
        place = bisect.bisect_left(self.names, stem)
        beginning_alike = itertools.takewhile(lambda name: name.startswith(stem), self.names[place : place + 100])
        return next((name for name in beginning_alike if re.match(r"[^a-zA-Z0-9/.]", name[len(stem) :])), None)


def names_by_stem(folder: Path, names: Iterable[str], tell: Tell = refuse) -> NamesByStem:
    """Returns the names of files in `folder` by their stems.

    Args:
        folder: the folder, for messages.
        names: file names.
        tell: told of two with the same stem, so that neither image and mask nor prediction could be told apart; the
            second is left out.

    Raises:
        ValueError: by `tell`, as a run does.
    """
    by_stem = NamesByStem(names)
    left_out = set()
    for name in by_stem.names:
        first = by_stem[stem_of(name)]
        if first != name:
            detail = f"{folder / first} and {folder / name} differ in their endings alone. Rename one."
            tell(Problem("ambiguous_name", str(folder / name), detail))
            left_out.add(name)
    return NamesByStem(name for name in by_stem.names if name not in left_out) if left_out else by_stem


def masks_by_stem(
    mask_folder: Path, tell: Tell = refuse, *, suffix: str = "", nested: bool = False, without: Collection[Path] = ()
) -> NamesByStem:
    """Returns the names of the mask files in a folder whose stems end in `suffix`, by their stems.

    `nested` and `without` are those of `list_files`.

    Raises:
        ValueError: there is no such folder; by `tell`, two masks have the same stem.
    """
    names = list_files(mask_folder, MASK_SUFFIXES, nested=nested, without=without)
    return names_by_stem(mask_folder, (name for name in names if stem_of(name).endswith(suffix)), tell)


def match_masks(
    image_folder: Path,
    mask_folder: Path,
    image_names: Iterable[str],
    masks: NamesByStem,
    *,
    mask_suffix: str = "",
    tell: Tell = refuse,
) -> Iterator[tuple[str, str]]:
    """Finds for each image the mask of the same stem.

    Args:
        image_folder: folder of the images.
        mask_folder: folder of the masks.
        image_names: file names of the images.
        masks: `masks_by_stem(mask_folder)`, which several splits may share.
        mask_suffix: what a mask's stem has behind its image's.
        tell: told of an image that has no mask, or a JPEG for one; the image is left out.

    Yields:
        `(image file name, mask file name)`, for `FilePairs`.

    Raises:
        ValueError: by `tell`, as a run does; names the file.
    """
    for name in image_names:
        stem = stem_of(name) + mask_suffix
        mask_name = masks.get(stem)
        if mask_name is None:
            tell(_no_mask(image_folder / name, mask_folder, stem, masks, mask_suffix))
        else:
            yield name, mask_name


def stem_of(name: str) -> str:
    """Returns a file's name or path without its ending."""
    # A start with 100,000 pairs asks a million times, and a Path or splitext each time is most of it.
    return name.rpartition(".")[0] or name


def _no_mask(image: Path, mask_folder: Path, stem: str, masks: NamesByStem, mask_suffix: str) -> Problem:
    endings = [ending for suffix in sorted(JPEG_SUFFIXES) for ending in (suffix, suffix.upper())]
    jpeg = next((path for ending in endings if (path := mask_folder / f"{stem}{ending}").exists()), None)
    if jpeg is not None:
        return Problem("wrong_format", str(jpeg), no_jpeg(jpeg))
    detail = f"{image}: no mask in {mask_folder}. "
    longer = masks.longer(stem)
    if longer is not None and not mask_suffix:
        suffix = stem_of(longer).removeprefix(stem)
        detail += f"There is {longer}: type dataset.mask_suffix={suffix} if that is its mask."
    else:
        allowed = ", ".join(f"{stem}{suffix}" for suffix in sorted(MASK_SUFFIXES))
        detail += f"It needs one of: {allowed}. Add the mask or take the image out."
    return Problem("missing_mask", str(image), detail)
