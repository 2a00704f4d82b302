"""Own images and masks in folders."""

import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from segtrain.datasets.dataset import MASKS_CHECKED, CacheChoice, ResizeChoice, SegmentationDataset, spread_evenly
from segtrain.datasets.file_pairs import (
    IMAGE_SUFFIXES,
    FilePairs,
    NamesByStem,
    flat_name,
    list_files,
    masks_by_stem,
    match_masks,
    names_by_stem,
    stem_of,
)
from segtrain.datasets.file_splits import LISTED_SPLITS, drawn_split, fold_split, listed_splits, lists_in
from segtrain.datasets.mask_coding import MaskChoice, ValueSummary, summarise
from segtrain.datasets.mask_files import read_mask
from segtrain.datasets.mask_labels import Classes, MaskLabels, MasksDoNotFitError, mask_labels, may_be_rare_classes
from segtrain.datasets.problems import BadSampleError, Problem, Tell, refuse
from segtrain.machine import usable_cores

# To take classes from, or the object's value; where classes are told, fewer show whether they fit.
MASKS_LOOKED_AT = 200
SPLIT = "{split}"


def build_folder(
    *,
    root: str,
    images: str = "images",
    masks: str = "masks",
    mask_suffix: str = "",
    mask: MaskChoice = "ids",
    classes: list[str] | dict[str, int | list[int] | list[list[int]]] | None = None,
    ignore_label: Annotated[int, Ge(0), Le(255)] = 255,
    channels: Annotated[int, Ge(1)] = 3,
    white: Annotated[int, Ge(1)] | None = None,
    val_share: Annotated[float, Gt(0), Lt(1)] = 0.2,
    split_seed: Annotated[int, Ge(0)] = 0,
    folds: Annotated[int, Ge(2)] | None = None,
    fold: Annotated[int, Ge(0)] | None = None,
    cache: CacheChoice = "auto",
    resize: ResizeChoice = "stretch",
    tell: Tell = refuse,
) -> SegmentationDataset:
    """Returns the dataset in a folder `root` with images and masks in folders of their own.

    An image and its mask have the same name, whatever their endings: `images/a/b.jpg` and `masks/a/b.png`. The splits
    are the folders that `{split}` in `images` stands for; else, where `root` has them, the lists `train.txt` and
    `val.txt` (and `test.txt`), with an image's name or path on each line; else `val_share` of the images, or one of
    `folds` equal parts, drawn by `split_seed`, are for validation.

    Args:
        root: the folder.
        images: folder of the images in it; may hold `{split}`, which stands for train, val and test.
        masks: folder of the masks in it; may hold `{split}` if `images` does.
        mask_suffix: what a mask's name has behind its image's, before the ending.
        mask: what masks hold: `ids` (grey values or palette indices are class ids, or values that `classes` maps),
            `binary` (0 and one other value), `palette` (a palette image's indices or colours, in `classes`), `rgb`
            (colours, in `classes`).
        classes: names by class id; or a map of each name to its value, values, RGB colour or colours in the masks,
            where the ids are the map's order and the name `void` is for what is no class. None takes 0 up to the
            highest id seen in a sample of the masks, and background and object where the masks are binary.
        ignore_label: label of void pixels; that value in masks of ids is void, unless a map gives it to a class.
        channels: channels of the images.
        white: the value that becomes 255 in images of more than 8 bits; None takes the file type's highest.
        val_share: share of the images for validation where there are neither lists nor folds.
        split_seed: which images those are.
        folds: number of equal parts, one of which is for validation; `val_share` does not count then.
        fold: which one.
        cache: where decoded pixels are kept.
        resize: how images reach the network's size, see `SegmentationDataset`.
        tell: told of what is wrong with single files, which are left out. A run refuses the first.

    Raises:
        ValueError: a folder is missing or empty, a list names an unknown image, settings do not go together or plainly
            do not fit the masks; by `tell`, an image has no mask, or two have the same name.
    """
    layout = _Layout(Path(root).expanduser(), images, masks, mask_suffix)
    layout.require_folders(root)
    if SPLIT in images:
        if folds is not None or fold is not None:
            raise ValueError(f"dataset.folds draws the splits, and dataset.images={images} has them. Leave one out.")
        layout.tell_of_unused_lists()
        chosen = {name: layout.image_names(name, tell).names for name in layout.split_names()}
    else:
        image_names = layout.image_names("train", tell)
        places = _drawn_or_listed(layout, image_names, val_share, split_seed, folds, fold)
        chosen = {name: (image_names.names[place] for place in places[name]) for name in places}
    splits = layout.pair(chosen, channels, white, tell)
    read_as = _how_to_read_masks(splits["train"], mask, classes, ignore_label, tell)
    return SegmentationDataset(
        name="folder",
        splits={name: pairs.with_masks_read_as(read_as) for name, pairs in splits.items()},
        class_names=read_as.class_names,
        ignore_label=read_as.ignore_label,
        palette=read_as.palette,
        channels=channels,
        white=white,
        cache=cache,
        resize=resize,
        advice_on_labels="Or set dataset.classes and dataset.ignore_label to what the masks hold.",
    )


@dataclass(frozen=True)
class _Layout:
    """Where images and masks are: folders below `root`, which may hold `{split}`, and what masks' names end in."""

    root: Path
    images: str
    masks: str
    mask_suffix: str

    def images_of(self, split: str) -> Path:
        return self.root / self.images.replace(SPLIT, split)

    def masks_of(self, split: str) -> Path:
        return self.root / self.masks.replace(SPLIT, split)

    def split_names(self) -> list[str]:
        """Returns train, val, and test where it has images."""
        return [name for name in LISTED_SPLITS if name != "test" or self.images_of(name).is_dir()]

    def tell_of_unused_lists(self) -> None:
        """Says on the terminal where there are lists beside folders that are the splits: many datasets have both."""
        lists = ", ".join(f"{name}.txt" for name in lists_in(self.root))
        if lists:
            print(
                f"segtrain: dataset.images={self.images} has the splits, so {lists} in {self.root} are not read.",
                file=sys.stderr,
            )

    def require_folders(self, root: str) -> None:
        if SPLIT in self.masks and SPLIT not in self.images:
            raise ValueError(
                f"dataset.masks={self.masks} has {SPLIT} in it, so dataset.images={self.images} needs it too: the "
                "folders of the images are the splits."
            )
        for split in self.split_names() if SPLIT in self.images else ["train"]:
            images, masks = self.images_of(split), self.masks_of(split)
            if not images.is_dir() or not masks.is_dir():
                wanted = " and ".join(f"{name.replace(SPLIT, split)}/" for name in (self.images, self.masks))
                raise ValueError(
                    f"dataset.root={root} has to be a folder with {wanted} in it. "
                    f"There is no {masks if images.is_dir() else images}. "
                    + (
                        f"{SPLIT} stands for train and val, and for test where it is there. "
                        if SPLIT in self.images
                        else ""
                    )
                    + f"Other names are set by dataset.images=FOLDER and dataset.masks=FOLDER{self._what_is_there()}."
                )
            in_images = all((images / name).is_dir() for name in ("train", "val"))
            if SPLIT not in self.images and in_images and not lists_in(self.root):
                in_masks = f"/{SPLIT}" if all((masks / name).is_dir() for name in ("train", "val")) else ""
                raise ValueError(
                    f"{images} has folders train and val in it. For the splits type "
                    f"dataset.images={self.images}/{SPLIT} dataset.masks={self.masks}{in_masks}. "
                    "Else list the images of each split in train.txt and val.txt."
                )
            if images == masks and not self.mask_suffix:
                raise ValueError(
                    f"{images} is the folder of images and of masks, which have to differ in their names then. Type "
                    "dataset.mask_suffix=_mask if that is what the masks' names end in."
                )

    def _what_is_there(self) -> str:
        if not self.root.is_dir():
            return ""
        names = sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))
        if not names:
            return ", which may be . for root itself"
        splits = f"; {SPLIT} in them stands for train, val and test" if {"train", "val"} <= set(names) else ""
        return f". There are: {', '.join(names[:8])}{splits}"

    def image_names(self, split: str, tell: Tell) -> NamesByStem:
        """Returns the names of the images, which are enough to draw splits from, by stem."""
        images, masks = self.images_of(split), self.masks_of(split)
        names: Iterable[str] = list_files(images, IMAGE_SUFFIXES, nested=True, without=[masks])
        if images == masks:
            names = [name for name in names if not stem_of(name).endswith(self.mask_suffix)]
        by_stem = names_by_stem(images, names, tell)
        fewest, purpose = (1, "") if SPLIT in self.images else (2, ", one to train and one to validate")
        if len(by_stem) < fewest:
            raise ValueError(
                f"{images} holds {len(by_stem)} images. At least {fewest} {'is' if fewest == 1 else 'are'} needed"
                f"{purpose}. Endings that count: {', '.join(sorted(IMAGE_SUFFIXES))}."
            )
        return by_stem if not any("/" in name for name in by_stem.names) else _of_own_flat_names(images, by_stem, tell)

    def pair(
        self, chosen: Mapping[str, Iterable[str]], channels: int, white: int | None, tell: Tell
    ) -> dict[str, FilePairs]:
        """Finds the masks of each split's images."""
        splits, paired = {}, {}
        all_images = [self.images_of(split) for split in chosen]  # masks may lie above them
        for split, image_names in chosen.items():
            images, masks = self.images_of(split), self.masks_of(split)
            if masks not in paired:
                paired[masks] = masks_by_stem(masks, tell, suffix=self.mask_suffix, nested=True, without=all_images)
            pairs = match_masks(images, masks, image_names, paired[masks], mask_suffix=self.mask_suffix, tell=tell)
            splits[split] = FilePairs(images, masks, pairs, channels=channels, white=white, is_settable=True)
        if tell is not refuse:  # a run does not mind a mask without an image
            for masks, mask_names in paired.items():
                used = [pairs for split, pairs in splits.items() if self.masks_of(split) == masks]
                _tell_masks_without_image(masks, mask_names, used, tell)
        return splits


def _of_own_flat_names(images: Path, names: NamesByStem, tell: Tell) -> NamesByStem:
    """Leaves images out whose name, with "-" for "/", another one has."""
    first_of: dict[str, str] = {}
    for name in names.names:
        first = first_of.setdefault(flat_name(name), name)
        if first != name:
            detail = (
                f"{images / first} and {images / name} would both be called {flat_name(name)} in pictures and "
                "predictions. Rename one."
            )
            tell(Problem("ambiguous_name", str(images / name), detail))
    return NamesByStem(first_of.values())


def _drawn_or_listed(
    layout: _Layout, image_names: NamesByStem, val_share: float, seed: int, folds: int | None, fold: int | None
) -> dict[str, np.ndarray]:
    """Returns the places in `image_names.names` of each split's images."""
    lists = lists_in(layout.root)
    if folds is not None or fold is not None:
        if lists:
            raise ValueError(
                f"dataset.folds draws the splits, and {layout.root / lists[0]}.txt lists them. Take the lists out, or "
                "leave dataset.folds and dataset.fold out."
            )
        return fold_split(len(image_names), folds, fold, seed)
    if lists:
        return listed_splits(layout.root, layout.images_of("train"), image_names)
    return drawn_split(len(image_names), val_share, seed)


def _tell_masks_without_image(masks: Path, names: NamesByStem, splits: Iterable[FilePairs], tell: Tell) -> None:
    used = {pairs.source(index) for pairs in splits for index in range(len(pairs))}
    for name in names.names:
        if str(masks / name) not in used:
            detail = f"{masks / name}: no image has this mask. Take it out, or add the image."
            tell(Problem("missing_image", str(masks / name), detail))


def _how_to_read_masks(
    train: FilePairs, mask: MaskChoice, classes: Classes, ignore_label: int, tell: Tell
) -> MaskLabels:
    """Returns how masks are read, by the settings and by what a sample of the masks holds.

    Where `tell` returns from masks that do not fit the settings, they are read as suggested; and where nothing fits,
    such as blended edges, as ids of two classes, so that the rest can be counted and each mask be told of.
    """
    most = MASKS_LOOKED_AT if classes is None else MASKS_CHECKED
    looked_at, broken = _look_at_masks(train, spread_evenly(len(train), most))
    if broken and not looked_at:
        if tell is refuse:
            raise broken[0]
        return _as_two_ids(classes, ignore_label)
    seen = sum(looked_at.values(), ValueSummary())
    if may_be_rare_classes(mask, classes, ignore_label, seen):
        seen = _seen_until_other_values(train, seen)
    try:
        return mask_labels(mask, classes, ignore_label, seen)
    except MasksDoNotFitError as error:
        example = next((name for name, summary in looked_at.items() if seen.highest in summary.pixels), train.source(0))
        tell(Problem("wrong_label", example, f"{example}: {error}"))
        suggested = {"mask": mask, "classes": classes, "ignore_label": ignore_label} | error.suggestion.settings
    try:
        return mask_labels(**suggested, seen=seen)
    except MasksDoNotFitError:
        return _as_two_ids(classes, ignore_label)


def _as_two_ids(classes: Classes, ignore_label: int) -> MaskLabels:
    names = list(classes) if classes is not None and not isinstance(classes, Mapping) else ["class_0", "class_1"]
    return MaskLabels("ids", names, ignore_label if ignore_label >= len(names) else 255)


def _seen_until_other_values(split: FilePairs, seen: ValueSummary) -> ValueSummary:
    """Adds what the split's masks hold until one has another value; all of them, where none has."""
    for start in range(0, len(split), 1000):
        looked_at, _ = _look_at_masks(split, range(len(split))[start : start + 1000])
        more = sum(looked_at.values(), ValueSummary())
        if not more.pixels.keys() <= seen.pixels.keys():
            return seen + more
    return seen


def _look_at_masks(split: FilePairs, indices: Iterable[int]) -> tuple[dict[str, ValueSummary], list[BadSampleError]]:
    """Returns what masks hold, by file, and why others cannot be read; those are refused when they are decoded."""

    def look(source: str) -> ValueSummary | BadSampleError:
        try:
            return summarise(*read_mask(Path(source)))
        except BadSampleError as error:
            return error

    sources = [split.source(index) for index in indices]
    with ThreadPoolExecutor(usable_cores() + 4) as pool:
        found = dict(zip(sources, pool.map(look, sources), strict=True))
    looked_at = {source: each for source, each in found.items() if isinstance(each, ValueSummary)}
    return looked_at, [each for each in found.values() if isinstance(each, BadSampleError)]
