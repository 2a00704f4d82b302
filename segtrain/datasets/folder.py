"""Own images and masks in two folders."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset, spread_evenly
from segtrain.datasets.file_pairs import (
    IMAGE_SUFFIXES,
    FilePairs,
    list_files,
    masks_by_stem,
    match_masks,
    names_by_stem,
    read_labels,
)
from segtrain.datasets.file_splits import drawn_split, listed_splits, lists_in
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
    if lists_in(folder):
        chosen = listed_splits(folder, images, image_names)
    else:
        chosen = drawn_split(len(image_names), val_share, split_seed)
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
