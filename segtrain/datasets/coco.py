"""COCO, and any dataset annotated in its JSON format."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from segtrain.datasets.coco_annotations import BACKGROUND, VOID, CocoAnnotations
from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset, require_same_size
from segtrain.datasets.file_pairs import flat_name
from segtrain.datasets.image_files import image_size, read_image
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.problems import Problem, Tell, refuse

# Labels are 8 bits; one is void and one is the background.
MOST_CATEGORIES = 254


def build_coco(
    *,
    root: str,
    train_images: str = "train2017",
    val_images: str = "val2017",
    train_annotations: str = "annotations/instances_train2017.json",
    val_annotations: str = "annotations/instances_val2017.json",
    categories: list[str] | None = None,
    crowd: Literal["class", "ignore"] = "class",
    cache: CacheChoice = "auto",
    resize: ResizeChoice = "stretch",
    tell: Tell = refuse,
) -> SegmentationDataset:
    """Returns images with instances in COCO's JSON format, as classes: 0 is the background, then each category.

    Classes are in the order of the category ids. Polygons and masks, compressed or not, are drawn by pycocotools, the
    smaller instances on top of the larger ones. An image without annotations is background. A category called
    `background` is class 0. The label 255 is void.
    Source: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014, https://cocodataset.org.

    Args:
        root: the folder that the others are in.
        train_images: folder of the training images.
        val_images: folder of the validation images.
        train_annotations: JSON file of the training images.
        val_annotations: JSON file of the validation images.
        categories: names of those to tell apart; annotations of all others are left out, so there is background. None
            takes all.
        crowd: regions that hold a crowd of instances are drawn as their class, or as void, beneath all instances.
        cache: where decoded pixels are kept.
        resize: how images reach the network's size, see `SegmentationDataset`.
        tell: what to do about a problem.

    Raises:
        ValueError: a file or folder is missing, an annotation names an image or category that its file does not list,
            or lies outside of its image, an image is in both splits; names the file and the id.
    """
    folder = Path(root).expanduser()
    splits = {"train": (train_images, train_annotations), "val": (val_images, val_annotations)}
    for split, (images, annotations) in splits.items():
        for setting, path, exists in (("images", images, Path.is_dir), ("annotations", annotations, Path.is_file)):
            if not exists(folder / path):
                raise ValueError(
                    f"There is no {folder / path}. dataset.root={root} has to be the folder that holds it, or type "
                    f"dataset.{split}_{setting}=PATH, seen from there."
                )
    files = {split: CocoAnnotations(folder / path, tell) for split, (_, path) in splits.items()}
    listed = files["train"].categories
    if files["val"].categories != listed:
        raise ValueError(
            f"{folder / val_annotations} lists other categories than {folder / train_annotations}: "
            f"{_first_difference(files['val'].categories, listed)} One id has to be the same category in both."
        )
    _require_names_of_their_own(listed, folder / train_annotations)
    kept = _chosen_categories(listed, categories)
    class_names = ["background", *kept.values()]
    label_of = {number: label for label, number in enumerate(kept, 1)}
    label_of |= {number: BACKGROUND for number, name in listed.items() if name == "background"}
    dataset = SegmentationDataset(
        name="coco",
        splits={
            split: CocoSplit(folder / images, files[split], label_of, crowd, tell)
            for split, (images, _) in splits.items()
        },
        class_names=class_names,
        ignore_label=VOID,
        palette=voc_palette(len(class_names)),
        cache=cache,
        resize=resize,
    )
    _require_apart(dataset.splits, tell)
    return dataset


class CocoSplit:
    """Images in a folder and the masks that a COCO file has of them. Implements `Split`."""

    def __init__(
        self,
        image_folder: Path,
        annotations: CocoAnnotations,
        label_of: Mapping[int, int],
        crowd: Literal["class", "ignore"],
        tell: Tell = refuse,
    ):
        """Looks which images there are; opens none.

        Args:
            image_folder: folder that the JSON's file names are seen from.
            annotations: the JSON.
            label_of: label by category id; other categories are not drawn.
            crowd: as what crowds are drawn.
            tell: what to do about an image that is not there, or whose name is another's; it is left out then.
        """
        self._image_folder = image_folder
        self._annotations = annotations
        self._label_of = label_of
        self._crowd = crowd
        self._chosen = np.array(self._usable(tell), int)

    def __len__(self) -> int:
        return len(self._chosen)

    def name(self, index: int) -> str:
        return flat_name(self._annotations.file_name(self._chosen[index]))

    def source(self, index: int) -> str:
        return self._annotations.source(self._chosen[index])

    def image_source(self, index: int) -> str:
        """Returns the path of the image."""
        return str(self._image_folder / self._annotations.file_name(self._chosen[index]))

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return image_size(Path(self.image_source(index))), self._annotations.size(self._chosen[index])

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = read_image(Path(self.image_source(index)))
        # Before anything is drawn: a mask of a size that somebody mistyped may not fit into memory.
        require_same_size(image.shape[:2], self._annotations.size(self._chosen[index]), self.source(index))
        return image, self._annotations.labels(self._chosen[index], self._label_of, self._crowd)

    def _usable(self, tell: Tell) -> list[int]:
        there = set(os.listdir(self._image_folder))
        usable, first_of = [], {}
        for index in range(len(self._annotations)):
            file_name = self._annotations.file_name(index)
            path, name = self._image_folder / file_name, flat_name(file_name)
            if _is_elsewhere(file_name):  # pictures of it would land in reports that are passed on
                detail = (
                    f"{self._annotations.source(index)}: lies outside of {self._image_folder}, and a file_name is seen "
                    "from there. Correct it, or take the image out of the JSON."
                )
                tell(Problem("missing_image", str(path), detail))
            elif file_name not in there and not os.path.isfile(path):  # the second for names with a folder in them
                detail = (
                    f"{self._annotations.source(index)}: there is no {path}. Add the image, or take it out of the JSON."
                )
                tell(Problem("missing_image", str(path), detail))
            elif name in first_of:
                detail = (
                    f"{self._annotations.source(first_of[name])} and image {file_name} have the same name but for "
                    "their endings or folders. Rename one, or take it out of the JSON."
                )
                tell(Problem("ambiguous_name", str(path), detail))
            else:
                first_of[name] = index
                usable.append(index)
        return usable


def _is_elsewhere(file_name: str) -> bool:
    return os.path.isabs(file_name) or ".." in file_name.split("/")


def _require_names_of_their_own(listed: Mapping[int, str], annotations: Path) -> None:
    first_of: dict[str, int] = {}
    for number, name in listed.items():
        first = first_of.setdefault(name, number)
        if first != number:
            raise ValueError(
                f"{annotations}: the categories {first} and {number} are both called '{name}'. Rename one, here and in "
                "the other split's file."
            )


def _chosen_categories(listed: Mapping[int, str], wanted: list[str] | None) -> dict[int, str]:
    names = [name for name in listed.values() if name != "background"]
    for name in wanted or ():
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
            hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
            raise ValueError(
                f"dataset.categories: there is no category '{name}'.{hint} The annotations have: {', '.join(names)}."
            )
    kept = {number: name for number, name in listed.items() if name in (names if wanted is None else wanted)}
    if len(kept) > MOST_CATEGORIES:
        first, second, *_ = kept.values()
        raise ValueError(
            f"Labels are held in 8 bits, which leaves room for {MOST_CATEGORIES} categories beside background and "
            f"void. The annotations have {len(kept)}. Type dataset.categories=[{first},{second},...] with those to "
            "tell apart."
        )
    return kept


def _first_difference(one: Mapping[int, str], other: Mapping[int, str]) -> str:
    number = next(number for number in sorted({*one, *other}) if one.get(number) != other.get(number))
    named = [f"'{file[number]}'" if number in file else "not there" for file in (one, other)]
    return f"category {number} is {named[0]}, and {named[1]}."


def _require_apart(splits: Mapping[str, CocoSplit], tell: Tell) -> None:
    """Tells of images that are in both splits, which one folder for both allows."""
    train, val = splits["train"], splits["val"]
    of_val = {val.image_source(index) for index in range(len(val))}
    for path in (train.image_source(index) for index in range(len(train))):
        if path not in of_val:
            continue
        detail = (
            f"{path} is listed for training and for validation. A score on images that were trained on says nothing; "
            "take it out of one JSON."
        )
        tell(Problem("leakage", path, detail))
