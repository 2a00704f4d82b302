"""A COCO annotation file: which images it lists, and the mask of each, drawn when it is asked for."""

import array
import json
import mmap
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segtrain.datasets.problems import BadSampleError, Problem, Tell, refuse

BACKGROUND = 0
VOID = 255
# Outlines are drawn by hand and rounded, so they end a little outside of the image now and then.
PIXELS_OUTSIDE = 1.0
_NEEDED = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "categories": {"id": int, "name": str},
    "annotations": {"image_id": int, "category_id": int},
}
_SPACE = re.compile(r"[ \t\n\r]*")
# Compressed runs: numbers of up to 30 bits, 5 a character, of which all but a number's last say that more follow.
# pycocotools reads on behind the end of a text whose last character says so, and writes where it should not.
_COMPRESSED = re.compile(r"(?:[P-o]{0,5}[0-O])+")


class CocoAnnotations:
    """Images, categories and annotations of one file.

    The file stays on the disk, and what is kept is where in it each annotation stands: COCO's own training set, 450 MB
    with 860,000 annotations of 118,000 images, takes 20 MB here and gigabytes as Python objects. Every annotation is
    looked at once, at the start, and for so long the whole text is in memory.
    Source of the format: https://cocodataset.org/#format-data.

    Args:
        path: the JSON file.
        tell: what to do about a problem; where it returns, the annotation or image is left out.

    Attributes:
        categories: names by category id, in the order of the ids.

    Raises:
        ValueError: the file is no such JSON; or, from `tell`, an annotation is of an image or a category that the file
            does not list, has no outline, or one outside of its image. Names the file and the annotation.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path, tell: Tell = refuse):
        self._path = path
        images, self.categories, found = self._look_at_all(tell)
        self._ids = np.array(sorted(images))
        listed = [images[number] for number in self._ids.tolist()]
        self._sizes = np.array([size for _, *size in listed])
        # Bytes of the file system, each of the longest one's length: a list of str takes four times as much.
        self._names = np.array([os.fsencode(name) for name, *_ in listed])
        self._keep_those_that_fit(found, tell)

    def __len__(self) -> int:
        """Returns how many images there are."""
        return len(self._ids)

    def file_name(self, index: int) -> str:
        """Returns the image's file, as the JSON has it, with "/" between folders."""
        return os.fsdecode(bytes(self._names[index]))

    def size(self, index: int) -> tuple[int, int]:
        """Returns `(height, width)` of the image, as the JSON has it."""
        height, width = self._sizes[index].tolist()
        return height, width

    def source(self, index: int) -> str:
        """Returns file, id and name of the image, for messages."""
        return f"{self._path}, image {self._ids[index]} ({self.file_name(index)})"

    def labels(self, index: int, label_of: Mapping[int, int], crowd: str) -> np.ndarray:
        """Draws the mask of an image: crowds first, then instances, the smaller on top of the larger.

        So a cup on a table is seen whatever the file's order. Of two equally large ones the later is on top.

        Args:
            index: of the image.
            label_of: label by category id; annotations of other categories are not drawn.
            crowd: `class` draws crowds as what they are of, `ignore` as void.

        Returns:
            uint8 `(height, width)`, 0 where nothing is drawn.

        Raises:
            BadSampleError: an outline cannot be drawn; names the annotation.
            ValueError: the file is another one now.
        """
        height, width = self.size(index)
        labels = np.full((height, width), BACKGROUND, np.uint8)
        drawn = []
        for annotation in self._annotations_of(index):
            if annotation["category_id"] in label_of:
                outline = self._run_lengths(annotation, height, width)
                is_crowd = bool(annotation.get("iscrowd", 0))
                label = VOID if is_crowd and crowd == "ignore" else label_of[annotation["category_id"]]
                drawn.append((not is_crowd, -int(coco_mask.area(outline)), len(drawn), outline, label))
        for *_, outline, label in sorted(drawn, key=lambda each: each[:3]):
            labels[coco_mask.decode(outline) > 0] = label
        return labels

    def _look_at_all(self, tell: Tell) -> tuple[dict[int, tuple[str, int, int]], dict[int, str], dict[str, np.ndarray]]:
        """Returns name, height and width by image id, names by category id, and what `_Annotations` keeps."""
        images, categories, annotations = {}, {}, _Annotations()
        text = _text_of(self._path)
        try:
            for section, element, start, end in _elements(text):
                if section == "annotations":
                    problem = _why_not(section, element) or _why_no_outline(element)
                    if problem is None:
                        annotations.append(element, start, end)
                    else:
                        self._tell(tell, problem, element)
                    continue
                element = json.loads(text[start:end].encode("latin-1"))
                problem = _why_not(section, element)
                if problem is not None:
                    raise ValueError(f"{self._path}: one of its {section} {problem}")
                listed = images if section == "images" else categories
                if element["id"] in listed:
                    raise ValueError(f"{self._path}: the id {element['id']} stands twice in its {section}.")
                if section == "images":
                    name = element["file_name"].replace("\\", "/")  # programs on Windows write paths so
                    listed[element["id"]] = name, element["height"], element["width"]
                else:
                    listed[element["id"]] = element["name"]
        except (json.JSONDecodeError, IndexError, UnicodeDecodeError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"{self._path}: has to be a JSON file as COCO has it, an object with images, annotations and "
                f"categories ({error})."
            ) from error
        for section, listed in (("images", images), ("categories", categories)):
            if not listed:
                raise ValueError(
                    f"{self._path}: lists no {section}. A COCO file has images, annotations and categories."
                )
        return images, dict(sorted(categories.items())), annotations.as_arrays()

    def _keep_those_that_fit(self, found: Mapping[str, np.ndarray], tell: Tell) -> None:
        """Keeps where the annotations stand, by image, and tells of those that do not fit the file's own lists."""
        image = np.minimum(np.searchsorted(self._ids, found["image_id"]), len(self._ids) - 1)
        height, width = self._sizes[image].T
        left, top, right, bottom = found["extent"].T
        is_inside = np.minimum(left, top) >= -PIXELS_OUTSIDE
        is_inside &= (right <= width + PIXELS_OUTSIDE) & (bottom <= height + PIXELS_OUTSIDE)
        is_whole = (right == width) & (bottom == height)
        fits = (self._ids[image] == found["image_id"]) & np.isin(found["category_id"], list(self.categories))
        fits &= np.where(found["is_mask"], is_whole, is_inside)
        for annotation in self._read_all(found["start"][~fits], found["length"][~fits]):
            self._tell(tell, self._why_it_does_not_fit(annotation), annotation)
        order = np.argsort(image[fits], kind="stable")
        self._starts, self._lengths = found["start"][fits][order], found["length"][fits][order]
        self._first = np.searchsorted(image[fits][order], np.arange(len(self) + 1))

    def _why_it_does_not_fit(self, annotation: Mapping[str, Any]) -> str:
        index = np.flatnonzero(self._ids == annotation["image_id"])
        if len(index) == 0:
            return f"is of image {annotation['image_id']}, which the file does not list."
        if annotation["category_id"] not in self.categories:
            known = ", ".join(f"{number} ({name})" for number, name in list(self.categories.items())[:12])
            return f"is of category {annotation['category_id']}, which the file does not list. It lists: {known}."
        height, width = self.size(index[0])
        left, top, right, bottom = _extent(annotation["segmentation"])
        if isinstance(annotation["segmentation"], dict):
            return (
                f"is a mask of {right}x{bottom} pixels (width x height), and its image has {width}x{height}, so the "
                "file says."
            )
        return (
            f"reaches outside of its image, which the file says has {width}x{height} pixels (width x height): x is "
            f"{left:g} to {right:g}, y {top:g} to {bottom:g}. Was the image resized after it was annotated?"
        )

    def _annotations_of(self, index: int) -> list[dict[str, Any]]:
        chosen = slice(self._first[index], self._first[index + 1])
        return self._read_all(self._starts[chosen], self._lengths[chosen])

    def _read_all(self, starts: np.ndarray, lengths: np.ndarray) -> list[dict[str, Any]]:
        pieces = []
        with self._path.open("rb") as file:
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
                file.seek(start)
                pieces.append(file.read(length))
        try:
            return [json.loads(piece) for piece in pieces]
        except ValueError as error:
            raise ValueError(f"{self._path}: was changed while it was in use. Start again.") from error

    def _run_lengths(self, annotation: dict[str, Any], height: int, width: int) -> dict[str, Any]:
        """Returns the outline as pycocotools has masks: compressed lengths of runs, down the columns."""
        outline = annotation["segmentation"]
        try:
            if isinstance(outline, list):
                return coco_mask.merge(coco_mask.frPyObjects(outline, height, width))
            counts = outline["counts"]
            runs = counts if isinstance(counts, list) else _uncompressed(counts)
            # pycocotools leaves what is behind too short runs as it found the memory.
            if sum(runs) != height * width or min(runs) < 0:
                raise ValueError(f"its runs have {sum(runs)} pixels and not {height * width}")
            return outline if isinstance(counts, str) else coco_mask.frPyObjects(outline, height, width)
        except Exception as error:
            raise BadSampleError("wrong_label", f"{self._named(annotation)} cannot be drawn ({error}).") from error

    def _named(self, annotation: Any) -> str:
        known = annotation if isinstance(annotation, dict) else {}
        return f"{self._path}: annotation {known.get('id', 'without id')} of image {known.get('image_id', 'unknown')}"

    def _tell(self, tell: Tell, problem: str, annotation: Any) -> None:
        detail = f"{self._named(annotation)} {problem} Correct the annotation or take it out."
        tell(Problem("wrong_label", str(self._path), detail))


class _Annotations:
    """What there is to know of each annotation, in a few numbers."""

    def __init__(self):
        self._integers, self._extents, self._is_mask = array.array("q"), array.array("d"), array.array("B")

    def append(self, annotation: dict[str, Any], start: int, end: int) -> None:
        self._integers.extend((annotation["image_id"], annotation["category_id"], start, end - start))
        self._extents.extend(_extent(annotation["segmentation"]))
        self._is_mask.append(isinstance(annotation["segmentation"], dict))

    def as_arrays(self) -> dict[str, np.ndarray]:
        image_id, category_id, start, length = np.array(self._integers).reshape(-1, 4).T
        return {
            "image_id": image_id,
            "category_id": category_id,
            "start": start,
            "length": length.astype(np.int32),
            "extent": np.array(self._extents).reshape(-1, 4),
            "is_mask": np.array(self._is_mask).astype(bool),
        }


def _extent(outline: Mapping[str, Any] | list[list[float]]) -> tuple[float, float, float, float]:
    """Returns how far an outline reaches, left, top, right and bottom, pixels; of a mask, all of it."""
    if isinstance(outline, Mapping):
        height, width = outline["size"]
        return 0, 0, width, height
    across, down = [polygon[::2] for polygon in outline], [polygon[1::2] for polygon in outline]
    return min(map(min, across)), min(map(min, down)), max(map(max, across)), max(map(max, down))


def _why_not(section: str, element: Any) -> str | None:
    """Returns what an element of one of the file's lists lacks."""
    if not isinstance(element, dict):
        return "is no object with names and values."
    for key, kind in _NEEDED[section].items():
        value = element.get(key)
        if type(value) is not kind or (kind is int and abs(value) >= 2**63):
            noun = "an integer" if kind is int else "a text"
            return f"needs {noun} as its {key}. Received: {_shortened(element)}."
    if section == "images":
        if min(element["height"], element["width"]) < 1:
            return f"needs a width and a height of 1 or more. Received: {_shortened(element)}."
        if not _can_be_a_file(element["file_name"]):
            return f"has a file_name that no file can have. Received: {_shortened(element)}."
    return None


def _can_be_a_file(name: str) -> bool:
    try:
        return bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # half of a pair that JSON writes as two
        return False


def _why_no_outline(annotation: dict[str, Any]) -> str | None:
    """Returns what is wrong with the form of an annotation's segmentation."""
    outline = annotation.get("segmentation")
    if not outline:
        return "has no segmentation; a box alone gives no mask."
    if isinstance(outline, dict):
        size = outline.get("size")
        if (
            isinstance(outline.get("counts"), list | str)
            and isinstance(size, list)
            and [*map(type, size)] == [int, int]
        ):
            if isinstance(outline["counts"], str) and not _COMPRESSED.fullmatch(outline["counts"]):
                return f"has compressed counts that are cut off or were never some. Received: {_shortened(outline)}"
            return None
        return "has a segmentation that is no mask: it needs counts, and size: [height, width]."
    if not isinstance(outline, list):
        return f"has a segmentation that is neither polygons nor a mask. Received: {_shortened(outline)}"
    for part in outline:
        is_polygon = isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0
        if not is_polygon or not {*map(type, part)} <= {int, float}:
            return f"has a polygon that is no list x1, y1, x2, y2, x3, y3, ... Received: {_shortened(part)}"
    return None


def _uncompressed(counts: str) -> list[int]:
    """Returns the lengths of runs in a compressed text that `_COMPRESSED` matches.

    A number has 5 bits a character, the lowest first, and a sign; from the fourth on it is the difference to the run of
    the same colour before. Source: `rleFrString` in https://github.com/cocodataset/cocoapi, common/maskApi.c.
    """
    codes = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - ord("0")
    lasts = np.flatnonzero(codes < 32)
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    lengths = lasts - firsts + 1
    places = np.arange(len(codes)) - np.repeat(firsts, lengths)
    numbers = np.add.reduceat((codes & 31) << 5 * places, firsts)
    numbers -= ((codes[lasts] & 16) > 0) * (1 << 5 * lengths)
    numbers[1::2], numbers[2::2] = numbers[1::2].cumsum(), numbers[2::2].cumsum()
    return numbers.tolist()


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
    return text if len(text) <= 100 else f"{text[:100]}..."


def _text_of(path: Path) -> str:
    """Returns the file's bytes, a letter each: a place in the text is a place in the file, and takes a byte."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ValueError(f"{path}: is empty.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return str(content, "latin-1")


def _elements(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """Yields the elements of the lists that the file's object has, one at a time: list, element, where from and to.

    Python's decoder does the reading; here is only what keeps it from reading all at once. Strings are still in the
    file's bytes.

    Raises:
        json.JSONDecodeError, IndexError: this is no JSON object, or it is cut off.
    """
    decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode

    def after(sign: str, place: int) -> int:
        place = _SPACE.match(text, place).end()
        if text[place] != sign:
            raise json.JSONDecodeError(f"'{sign}' is expected", text[place : place + 1], 0)
        return _SPACE.match(text, place + 1).end()

    place = after("{", len("ï»¿") if text.startswith("ï»¿") else 0)  # a UTF-8 file's mark of itself
    while text[place] != "}":
        section, place = decode(text, place)
        place = after(":", place)
        if section in _NEEDED and text[place] == "[":
            place = after("[", place)
            while text[place] != "]":
                element, end = decode(text, place)
                yield section, element, place, end
                place = _SPACE.match(text, end).end()
                if text[place] != "]":
                    place = after(",", place)
            place += 1
        else:
            _, place = decode(text, place)
        place = _SPACE.match(text, place).end()
        if text[place] != "}":
            place = after(",", place)


def _refuse_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is no number", name, 0)
