"""Which images of a folder are for training, validation and test: by lists beside them, or drawn."""

import bisect
import itertools
import os
from pathlib import Path

import numpy as np

from segtrain.datasets.file_pairs import NamesByStem

LISTED_SPLITS = ("train", "val", "test")


def lists_in(folder: Path) -> list[str]:
    """Returns the splits that the folder has a list of: `train` where there is a `train.txt`, and so on."""
    return [name for name in LISTED_SPLITS if (folder / f"{name}.txt").is_file()]


def listed_splits(folder: Path, image_folder: Path, image_names: NamesByStem) -> dict[str, np.ndarray]:
    """Returns the places in `image_names.names` of each split's images, in the order of its list.

    Args:
        folder: where `train.txt`, `val.txt` and perhaps `test.txt` are, with an image name on each line, with or
            without its ending; folders in front of it do not count.
        image_folder: where the images are, for messages.
        image_names: the images.

    Raises:
        ValueError: there is no list for training or validation, a list names an image that is not there, or two name
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


def drawn_split(num_images: int, val_share: float, seed: int) -> dict[str, np.ndarray]:
    """Returns the places of a random share for validation, at least one image, and of the rest for training."""
    order = np.random.default_rng(seed).permutation(num_images)
    num_val = min(max(round(val_share * num_images), 1), num_images - 1)
    return {"train": np.sort(order[num_val:]), "val": np.sort(order[:num_val])}


def _listed_places(listing: Path, image_folder: Path, image_names: NamesByStem) -> np.ndarray:
    with listing.open(encoding="utf-8") as lines:
        wanted = [os.path.basename(line.strip()) for line in lines if line.strip()]
    places = [_place_of(name, image_names) for name in wanted]
    if None in places:
        raise ValueError(
            f"{listing} lists {wanted[places.index(None)]}, which is not in {image_folder} "
            f"({places.count(None)} missing in all)."
        )
    _, first_lines = np.unique(np.array(places, int), return_index=True)
    return np.array(places, int)[np.sort(first_lines)]


def _place_of(wanted: str, image_names: NamesByStem) -> int | None:
    """Returns where the image is that is called `wanted`, with or without its ending."""
    place = bisect.bisect_left(image_names.names, wanted)
    if place < len(image_names) and image_names.names[place] == wanted:
        return place
    return image_names.place(wanted)
