"""Own images and masks in two folders."""

import bisect
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset, spread_evenly
from segtrain.datasets.file_pairs import (
    IMAGE_SUFFIXES,
    FilePairs,
    NamesByStem,
    list_files,
    masks_by_stem,
    match_masks,
    names_by_stem,
    read_labels,
)
from segtrain.datasets.palette import voc_palette

MASKS_LOOKED_AT = 200


def build_folder(
    *,
    root: str,
    classes: list[str] | None = None,
    ignore_label: Annotated[int, Ge(0), Le(255)] = 255,
    val_share: Annotated[float, Gt(0), Lt(1)] = 0.2,
    split_seed: Annotated[int, Ge(0)] = 0,
    cache: CacheChoice = "auto",
    resize: ResizeChoice = "stretch",
) -> SegmentationDataset:
    """Returns the dataset in a folder `root` with `images/` and `masks/`.

    An image and its mask have the same name, whatever their endings: `images/a.jpg` and `masks/a.png`. A mask holds
    the class id of each pixel as its grey value or palette index. Where `root` has `train.txt` and `val.txt` (and
    `test.txt`), with an image name on each line, they are the splits; else `val_share` of the images, drawn by
    `split_seed`, are for validation.

    Args:
        root: the folder.
        classes: names by class id; None takes 0 up to the highest id seen in a sample of the masks.
        ignore_label: label of void pixels.
        val_share: share of the images for validation where there are no lists.
        split_seed: which images those are.
        cache: where decoded pixels are kept.
        resize: how images reach the network's size, see `SegmentationDataset`.

    Raises:
        ValueError: a folder is missing or empty, a list names an unknown image, an image has no mask.
    """
    folder = Path(root).expanduser()
    images, masks = folder / "images", folder / "masks"
    if not images.is_dir() or not masks.is_dir():
        raise ValueError(
            f"dataset.root={root} has to be a folder with images/ and masks/ in it. "
            f"There is no {masks if images.is_dir() else images}."
        )
    image_names = names_by_stem(images, list_files(images, IMAGE_SUFFIXES))
    if len(image_names) < 2:
        raise ValueError(
            f"{images} holds {len(image_names)} images. At least 2 are needed, one to train and one to validate. "
            f"Endings that count: {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    lists = [name for name in ("train", "val", "test") if (folder / f"{name}.txt").is_file()]
    if lists:
        chosen = _listed_splits(folder, lists, image_names)
    else:
        chosen = _random_split(len(image_names), val_share, split_seed)
    mask_names = masks_by_stem(masks)
    splits = {
        split: match_masks(images, masks, (image_names.names[place] for place in places), mask_names)
        for split, places in chosen.items()
    }
    class_names = classes or _names_from_masks(masks, splits["train"], ignore_label)
    return SegmentationDataset(
        name="folder",
        splits=splits,
        class_names=class_names,
        ignore_label=ignore_label,
        palette=voc_palette(len(class_names)),
        cache=cache,
        resize=resize,
    )


def _listed_splits(folder: Path, lists: list[str], image_names: NamesByStem) -> dict[str, np.ndarray]:
    """Returns the places in `image_names.names` of each split's images."""
    for name in ("train", "val"):
        if name not in lists:
            raise ValueError(
                f"{folder} has a {lists[0]}.txt but no {name}.txt. List that split's images there, one on each line, "
                "or take the lists out and have dataset.val_share of the images drawn."
            )
    chosen = {name: _listed_places(folder / f"{name}.txt", folder / "images", image_names) for name in lists}
    for one, other in itertools.combinations(lists, 2):
        both = np.intersect1d(chosen[one], chosen[other])
        if len(both):
            raise ValueError(
                f"{folder}: {one}.txt and {other}.txt both list {image_names.names[both[0]]}. A score on images that "
                "were trained on says nothing; take it out of one."
            )
    return chosen


def _listed_places(listing: Path, images: Path, image_names: NamesByStem) -> np.ndarray:
    with listing.open(encoding="utf-8") as lines:
        wanted = [os.path.basename(line.strip()) for line in lines if line.strip()]
    places = [_place_of(name, image_names) for name in wanted]
    if None in places:
        raise ValueError(
            f"{listing} lists {wanted[places.index(None)]}, which is not in {images} "
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


def _random_split(num_images: int, val_share: float, seed: int) -> dict[str, np.ndarray]:
    order = np.random.default_rng(seed).permutation(num_images)
    num_val = min(max(round(val_share * num_images), 1), num_images - 1)
    return {"train": np.sort(order[num_val:]), "val": np.sort(order[:num_val])}


def _names_from_masks(masks: Path, split: FilePairs, ignore_label: int) -> list[str]:
    def highest_label(index: int) -> int:
        labels = read_labels(Path(split.source(index)))
        return int(labels[labels != ignore_label].max(initial=0))

    with ThreadPoolExecutor() as pool:
        highest = max(pool.map(highest_label, spread_evenly(len(split), MASKS_LOOKED_AT)), default=0)
    if highest == 0:
        raise ValueError(
            f"The masks in {masks} hold no label but 0 and {ignore_label} (void), so there is nothing to tell apart. "
            "For one object on background, save the background as 0 and the object as 1."
        )
    return [f"class_{class_id}" for class_id in range(highest + 1)]
