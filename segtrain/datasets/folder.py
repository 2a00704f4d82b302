"""Own images and masks in two folders."""

from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from segtrain.datasets.dataset import CacheChoice, SegmentationDataset
from segtrain.datasets.file_pairs import IMAGE_SUFFIXES, FilePairs, list_files, match_masks, names_by_stem, read_labels
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
    image_names = list(names_by_stem(images, list_files(images, IMAGE_SUFFIXES)).values())
    if len(image_names) < 2:
        raise ValueError(
            f"{images} holds {len(image_names)} images. At least 2 are needed, one to train and one to validate. "
            f"Endings that count: {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    lists = [name for name in ("train", "val", "test") if (folder / f"{name}.txt").is_file()]
    chosen = _listed_splits(folder, lists, image_names) if lists else _random_split(image_names, val_share, split_seed)
    splits = {name: match_masks(images, masks, names) for name, names in chosen.items()}
    class_names = classes or _names_from_masks(masks, splits["train"], ignore_label)
    return SegmentationDataset(
        name="folder",
        splits=splits,
        class_names=class_names,
        ignore_label=ignore_label,
        palette=voc_palette(len(class_names)),
        cache=cache,
    )


def _listed_splits(folder: Path, lists: list[str], image_names: list[str]) -> dict[str, list[str]]:
    for name in ("train", "val"):
        if name not in lists:
            raise ValueError(
                f"{folder} has a {lists[0]}.txt but no {name}.txt. List that split's images there, one on each line, "
                "or take the lists out and have dataset.val_share of the images drawn."
            )
    chosen = {name: _listed_images(folder / f"{name}.txt", folder / "images", image_names) for name in lists}
    listed: dict[str, str] = {}
    for name, image in ((split, image) for split in lists for image in chosen[split]):
        other = listed.setdefault(image, name)
        if other != name:
            raise ValueError(
                f"{folder}: {other}.txt and {name}.txt both list {image}. A score on images that were trained on says "
                "nothing; take it out of one."
            )
    return chosen


def _listed_images(listing: Path, images: Path, image_names: list[str]) -> list[str]:
    """Returns the images that `listing` names, with or without their endings."""
    by_name = names_by_stem(images, image_names) | {name: name for name in image_names}
    lines = [line.strip() for line in listing.read_text(encoding="utf-8").splitlines()]
    wanted = [Path(line).name for line in lines if line]
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise ValueError(f"{listing} lists {missing[0]}, which is not in {images} ({len(missing)} missing in all).")
    return list(dict.fromkeys(by_name[name] for name in wanted))


def _random_split(image_names: list[str], val_share: float, seed: int) -> dict[str, list[str]]:
    order = np.random.default_rng(seed).permutation(len(image_names))
    num_val = min(max(round(val_share * len(image_names)), 1), len(image_names) - 1)
    val = {int(index) for index in order[:num_val]}
    return {
        "train": [name for index, name in enumerate(image_names) if index not in val],
        "val": [name for index, name in enumerate(image_names) if index in val],
    }


def _names_from_masks(masks: Path, split: FilePairs, ignore_label: int) -> list[str]:
    highest = 0
    for index in range(0, len(split), max(1, len(split) // MASKS_LOOKED_AT)):
        labels = read_labels(Path(split.source(index)))
        highest = max(highest, int(labels[labels != ignore_label].max(initial=0)))
    if highest == 0:
        raise ValueError(
            f"The masks in {masks} hold no label but 0 and {ignore_label} (void), so there is nothing to tell apart. "
            "For one object on background, save the background as 0 and the object as 1."
        )
    return [f"class_{class_id}" for class_id in range(highest + 1)]
