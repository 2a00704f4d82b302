"""Images annotated with LabelMe: a JSON file of shapes beside each image."""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset, require_same_size
from segtrain.datasets.file_pairs import IMAGE_SUFFIXES, NamePairs, NamesByStem, list_files, names_by_stem
from segtrain.datasets.file_splits import drawn_split, listed_splits, lists_in
from segtrain.datasets.image_files import image_size, read_image
from segtrain.datasets.labelme_shapes import (
    BACKGROUND_NAMES,
    VOID,
    VOID_NAMES,
    annotated_size,
    draw_shapes,
    read_annotation,
)
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.problems import BadSampleError, Problem, Tell, refuse
from segtrain.machine import usable_cores


def build_labelme(
    *,
    root: str,
    classes: list[str] | None = None,
    unlabelled: Literal["background", "ignore"] = "background",
    line_width: Annotated[int, Ge(1)] | None = None,
    val_share: Annotated[float, Gt(0), Lt(1)] = 0.2,
    split_seed: Annotated[int, Ge(0)] = 0,
    cache: CacheChoice = "auto",
    resize: ResizeChoice = "stretch",
    tell: Tell = refuse,
) -> SegmentationDataset:
    """Returns the images in `root` that have a JSON file of LabelMe's beside them: `a.jpg` and `a.json`.

    Shapes are drawn in their order, the later on top of the earlier. An image without a JSON file has not been
    annotated, which is not the same as background: it is left out, and their number is told. Shapes called `void`,
    `ignore`, `_ignore_` or `__ignore__` become the label 255, which counts nowhere. Where `root` has `train.txt` and
    `val.txt` (and `test.txt`), with an image name on each line, they are the splits; else `val_share` of the annotated
    images, drawn by `split_seed`, are for validation.
    Source of the format: https://github.com/wkentaro/labelme.

    Args:
        root: the folder.
        classes: names that shapes have, by class id; None takes all that are found, sorted.
        unlabelled: what lies under no shape is background, which is class 0 then, or void.
        line_width: lines and line strips are drawn so wide, pixels; None refuses them. Points are left out.
        val_share: share of the images for validation where there are no lists.
        split_seed: which images those are.
        cache: where decoded pixels are kept.
        resize: how images reach the network's size, see `SegmentationDataset`.
        tell: what to do about a problem.

    Raises:
        ValueError: there is no such folder, too few images are annotated, a list names an image that is not there or
            not annotated, or a file is none of LabelMe's; names the file.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ValueError(f"dataset.root={root} has to be a folder with images and LabelMe's JSON files. It is none.")
    names = names_by_stem(folder, list_files(folder, IMAGE_SUFFIXES))
    annotated = _annotated(folder, names.names)
    if np.count_nonzero(annotated) < 2:
        raise ValueError(
            f"{folder} holds {len(names)} images, and {np.count_nonzero(annotated)} with a JSON file of the same name "
            "beside them. At least 2 are needed, one to train and one to validate. Save LabelMe's files beside the "
            f"images. Endings of images that count: {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    if lists_in(folder):
        chosen = listed_splits(folder, folder, names)
        _require_annotated(folder, names.names, annotated, chosen, tell)
        chosen = {split: places[annotated[places]] for split, places in chosen.items()}
    else:
        _tell_of_lone_files(folder, names, annotated, tell)
        drawn = drawn_split(np.count_nonzero(annotated), val_share, split_seed)
        chosen = {split: np.flatnonzero(annotated)[places] for split, places in drawn.items()}
    pairs = {split: [_pair(names.names[place]) for place in places] for split, places in chosen.items()}
    if classes is None:
        found = _names_of_shapes(folder, sorted(name for each in pairs.values() for _, name in each), tell)
        classes = sorted(set().union(*found.values()))
        pairs = {split: [pair for pair in each if pair[1] in found] for split, each in pairs.items()}
    class_names, label_of = _classes(classes, unlabelled)
    elsewhere = 0 if unlabelled == "background" else VOID
    return SegmentationDataset(
        name="labelme",
        splits={
            split: LabelMeSplit(folder, NamePairs(each), label_of, elsewhere, line_width)
            for split, each in pairs.items()
        },
        class_names=class_names,
        ignore_label=VOID,
        palette=voc_palette(len(class_names)),
        cache=cache,
        resize=resize,
    )


class LabelMeSplit:
    """Images, and JSON files of shapes that are drawn when they are read. Implements `Split`."""

    def __init__(
        self, folder: Path, names: NamePairs, label_of: Mapping[str, int], elsewhere: int, line_width: int | None
    ):
        """Keeps the names; opens nothing.

        Args:
            folder: where images and JSON files are.
            names: `(image file name, JSON file name)`.
            label_of: labels by the names that shapes have.
            elsewhere: label of what no shape covers.
            line_width: of lines, pixels; None refuses them.
        """
        self._folder = folder
        self._names = names
        self._label_of = label_of
        self._elsewhere = elsewhere
        self._line_width = line_width

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return Path(self._names[index][0]).stem

    def source(self, index: int) -> str:
        return str(self._annotation_path(index))

    def image_source(self, index: int) -> str:
        """Returns the path of the image."""
        return str(self._folder / self._names[index][0])

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        size = image_size(Path(self.image_source(index)))
        return size, annotated_size(read_annotation(self._annotation_path(index))) or size

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, path = read_image(Path(self.image_source(index))), self._annotation_path(index)
        annotation = read_annotation(path)
        size = annotated_size(annotation) or image.shape[:2]
        # Before anything is drawn: a mask of a size that somebody mistyped may not fit into memory.
        require_same_size(image.shape[:2], size, str(path))
        labels = draw_shapes(
            annotation,
            size,
            label_of=self._label_of,
            elsewhere=self._elsewhere,
            line_width=self._line_width,
            source=path,
        )
        return image, labels

    def _annotation_path(self, index: int) -> Path:
        return self._folder / self._names[index][1]


def _pair(image_name: str) -> tuple[str, str]:
    return image_name, f"{image_name.rpartition('.')[0]}.json"


def _annotated(folder: Path, image_names: list[str]) -> np.ndarray:
    """Returns which of the images have a JSON file, bool `(images,)`."""
    there = set(list_files(folder, {".json"}))
    return np.array([_pair(name)[1] in there for name in image_names], bool)


def _require_annotated(
    folder: Path, names: list[str], annotated: np.ndarray, chosen: Mapping[str, np.ndarray], tell: Tell
) -> None:
    for split, places in chosen.items():
        for place in places[~annotated[places]].tolist():
            image, annotation = (folder / name for name in _pair(names[place]))
            detail = f"{folder / split}.txt lists {image.name}, which is not annotated: there is no {annotation}."
            tell(Problem("missing_mask", str(image), detail))


def _tell_of_lone_files(folder: Path, names: NamesByStem, annotated: np.ndarray, tell: Tell) -> None:
    """A run goes on without the images that nobody annotated yet, and says how many; `segtrain inspect` lists them."""
    left_out = [folder / names.names[place] for place in np.flatnonzero(~annotated).tolist()]
    if tell is refuse:
        if left_out:
            print(
                f"segtrain: {len(left_out)} of {len(names)} images in {folder} have no JSON file beside them and are "
                f"left out, such as {left_out[0].name}.",
                file=sys.stderr,
            )
        return
    for path in left_out:
        tell(Problem("missing_mask", str(path), f"{path} has no JSON file beside it. Annotate it or take it out."))
    for path in (folder / name for name in list_files(folder, {".json"}) if Path(name).stem not in names):
        tell(Problem("missing_image", str(path), f"{path} has no image beside it. Add the image or take it out."))


def _names_of_shapes(folder: Path, annotation_names: list[str], tell: Tell) -> dict[str, set[str]]:
    """Returns the names that shapes have, by file; files that cannot be read are told and left out."""

    def names_in(file_name: str) -> set[str] | BadSampleError:
        try:
            shapes = read_annotation(folder / file_name)["shapes"]
        except BadSampleError as error:
            return error
        return {shape["label"] for shape in shapes if shape.get("shape_type") != "point"}

    with ThreadPoolExecutor(usable_cores() + 4) as pool:
        found = dict(zip(annotation_names, pool.map(names_in, annotation_names), strict=True))
    for file_name, names in found.items():
        if isinstance(names, BadSampleError):
            tell(Problem(names.kind, str(folder / file_name), str(names)))
    return {file_name: names for file_name, names in found.items() if not isinstance(names, BadSampleError)}


def _classes(names: list[str], unlabelled: str) -> tuple[list[str], dict[str, int]]:
    """Returns the class names, and the labels by the names that shapes have."""
    of_objects = [name for name in names if name not in VOID_NAMES]
    if unlabelled == "background":
        of_objects = [name for name in of_objects if name not in BACKGROUND_NAMES]
        if not of_objects:
            raise ValueError(
                f"The shapes have no names but {', '.join(names) or 'none'}, so there is nothing to tell from the "
                "background. Draw shapes around the objects."
            )
        class_names = ["background", *of_objects]
        label_of = dict.fromkeys(BACKGROUND_NAMES, 0)
    else:
        class_names, label_of = of_objects, {}
    label_of |= {name: label for label, name in enumerate(class_names)}
    return class_names, label_of | dict.fromkeys(VOID_NAMES, VOID)
