"""Which files of a folder are for training and which for validation: lists, a share drawn by a seed, folds."""

import bisect
import codecs
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segtrain.datasets.file_pairs import NamesByStem

LISTED_SPLITS = ("train", "val", "test")


def lists_in(folder: Path) -> list[str]:
    """Returns which of train, val and test have a list `<split>.txt` in the folder."""
    return [name for name in LISTED_SPLITS if (folder / f"{name}.txt").is_file()]


def listed_splits(folder: Path, image_folder: Path, image_names: NamesByStem) -> dict[str, np.ndarray]:
    """Returns each listed split's images, as places in `image_names.names`, in the order of the lists.

    A line is a file's name or path, with or without its ending. Of a path, as much counts as there is below
    `image_folder`: lists often hold paths on their author's disk.

    Args:
        folder: folder with `train.txt`, `val.txt` and maybe `test.txt`.
        image_folder: folder of the images, for messages.
        image_names: file names in it.

    Raises:
        ValueError: the list of train or val is missing, one is empty or names an image that is not there, or two name
            the same.
    """
    lists = lists_in(folder)
    for name in ("train", "val"):
        if name not in lists:
            raise ValueError(
                f"{folder} has a {lists[0]}.txt but no {name}.txt. List that split's images there, one on each line, "
                "or take the lists out and have dataset.val_share of the images drawn."
            )
    chosen = {name: _listed_places(folder / f"{name}.txt", image_folder, image_names) for name in lists}
    for one, other in itertools.combinations(lists, 2):
        both = np.intersect1d(chosen[one], chosen[other])
        if len(both):
            raise ValueError(
                f"{folder}: {one}.txt and {other}.txt both list {image_names.names[both[0]]}. A score on images that "
                "were trained on says nothing; take it out of one."
            )
    return chosen


def drawn_split(count: int, val_share: float, seed: int) -> dict[str, np.ndarray]:
    """Returns train and val as places among `count` images, ascending; `val_share` of them, drawn, are val.

    Each split has one image at least; `count` has to be 2 or more.
    """
    order = np.random.default_rng(seed).permutation(count)
    num_val = min(max(round(val_share * count), 1), count - 1)
    return {"train": np.sort(order[num_val:]), "val": np.sort(order[:num_val])}


def fold_split(count: int, folds: int | None, fold: int | None, seed: int) -> dict[str, np.ndarray]:
    """Returns train and val as places among `count` images, ascending: of equal parts drawn by `seed`, one is val.

    The validation parts of the folds 0..folds-1 hold every image once, and differ in size by one at most.

    Raises:
        ValueError: only one of `folds` and `fold` is given, there is no such fold, or there are fewer images.
    """
    if folds is None:
        raise ValueError(f"dataset.fold={fold} needs the number of folds. Type dataset.folds=5 with it.")
    if fold is None:
        raise ValueError(
            f"dataset.folds={folds} needs the fold to validate on. Type dataset.fold=0, or all of them in a sweep: "
            f"-m dataset.fold={','.join(map(str, range(folds)))}."
        )
    if fold >= folds:
        raise ValueError(f"dataset.fold={fold} has to be one of 0..{folds - 1} with dataset.folds={folds}.")
    if count < folds:
        raise ValueError(f"dataset.folds={folds} needs as many images. There are {count}.")
    parts = np.array_split(np.random.default_rng(seed).permutation(count), folds)
    train = np.concatenate([part for number, part in enumerate(parts) if number != fold])
    return {"train": np.sort(train), "val": np.sort(parts[fold])}


def lines_of(listing: Path) -> list[str]:
    """Returns the lines of a list of names, without spaces around them and without empty ones.

    Bytes that are no UTF-8 are kept, as Python keeps those of file names: such files can be listed too.

    Raises:
        ValueError: the list is in UTF-16; names it.
        OSError: it cannot be read.
    """
    content = listing.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{listing}: is in UTF-16. Save it in UTF-8.")
    lines = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape").splitlines()
    return [line.strip() for line in lines if line.strip()]


def printable(name: str) -> str:
    """Returns a name for messages, with what is no UTF-8 in it as hexadecimal bytes, and a hint at it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return f"{shown} (its letters are in no UTF-8: save the list in UTF-8)"
    return name


def _listed_places(listing: Path, images: Path, image_names: NamesByStem) -> np.ndarray:
    wanted = lines_of(listing)
    if not wanted:
        raise ValueError(
            f"{listing} lists no image, so the split '{listing.stem}' is empty. List some, one on each line."
        )
    places = [_place_of(line.replace("\\", "/").split("/"), image_names) for line in wanted]
    if None in places:
        raise ValueError(
            f"{listing} lists {printable(wanted[places.index(None)])}, which is not in {images} "
            f"({places.count(None)} missing in all)."
        )
    _, first_lines = np.unique(np.array(places, int), return_index=True)
    return np.array(places, int)[np.sort(first_lines)]


def _place_of(parts: Sequence[str], image_names: NamesByStem) -> int | None:
    """Returns where the image is whose path ends the listed one, the longest such path first."""
    for start in range(len(parts)):
        wanted = "/".join(parts[start:])
        place = bisect.bisect_left(image_names.names, wanted)
        if place < len(image_names) and image_names.names[place] == wanted:
            return place
        place = image_names.place(wanted)
        if place is not None:
            return place
    return None
