"""Shapes drawn in LabelMe, as labels of pixels."""

import base64
import difflib
import functools
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image
from pycocotools import mask as coco_mask

from segtrain.datasets.image_files import require_few_pixels
from segtrain.datasets.problems import BadSampleError

VOID = 255
VOID_NAMES = ("void", "ignore", "_ignore_", "__ignore__")
BACKGROUND_NAMES = ("background", "_background_")
LINES = ("line", "linestrip")

# A shape's pixels, bool (height, width), from its points (points, xy) and the size (height, width).
Region = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def read_annotation(path: Path) -> dict[str, Any]:
    """Returns what LabelMe saved, without the copy of the image that may be in it.

    Raises:
        BadSampleError: this is no such file, or one of its shapes has no label, no form's name or no points; names the
            file.
        OSError: the file cannot be read.
    """
    try:
        annotation = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise BadSampleError(
            "unreadable", f"{path}: cannot be read as JSON ({reason}). Save it in LabelMe again."
        ) from error
    shapes = annotation.get("shapes") if isinstance(annotation, dict) else None
    if not isinstance(shapes, list):
        raise BadSampleError(
            "wrong_format",
            f"{path}: LabelMe's files hold a list of shapes, and this one does not. For COCO's files there is "
            "dataset=coco.",
        )
    for number, shape in enumerate(shapes):
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str) or not label:
            raise BadSampleError("wrong_label", f"{path}: shape {number} has no label. Give it one, or take it out.")
        where = f"{path}: shape {number} ('{label}')"
        if not isinstance(shape.get("shape_type"), str | None):
            raise BadSampleError("wrong_format", f"{where} has no text for its shape_type. Draw it again.")
        try:
            points = np.array(shape["points"], float).reshape(-1, 2)
        except (KeyError, TypeError, ValueError, OverflowError):
            points = np.array([np.nan])
        if not np.isfinite(points).all():
            raise BadSampleError("wrong_format", f"{where} has no points x, y. Draw it again, or take it out.")
    annotation.pop("imageData", None)
    return annotation


def annotated_size(annotation: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns `(height, width)` of the image that was drawn on, where the file says it."""
    size = annotation.get("imageHeight"), annotation.get("imageWidth")
    return size if all(isinstance(pixels, int) and pixels > 0 for pixels in size) else None


def draw_shapes(
    annotation: Mapping[str, Any],
    size: tuple[int, int],
    *,
    label_of: Mapping[str, int],
    elsewhere: int,
    line_width: int | None,
    source: Path,
) -> np.ndarray:
    """Draws the shapes in their order, so that a later one lies on top; what is outside of the image is cut off.

    A point may lie outside by as much as the image is wide and high. pycocotools walks along outlines pixel by pixel,
    and takes memory for each: of a point that was mistyped, or an image that was cut, more than there is.

    A pixel belongs to a polygon, rectangle or circle if its middle does. OpenCV's polygons, and those of LabelMe's own
    export, have all pixels that the outline touches too, which makes every object larger by half a pixel around.
    Points are left out: they have no area.

    Args:
        annotation: see `read_annotation`.
        size: `(height, width)` of the result.
        label_of: labels by the names that shapes have.
        elsewhere: label of what no shape covers.
        line_width: of lines and line strips, pixels; None refuses them.
        source: the file, for messages.

    Returns:
        Labels, uint8 `(height, width)`.

    Raises:
        BadSampleError: a shape has a name that is not in `label_of`, a form that cannot be drawn, too few points, or
            some that are far outside.
    """
    labels = np.full(size, elsewhere, np.uint8)
    forms = _FORMS | dict.fromkeys(LINES, (2, functools.partial(_line, width=line_width)))
    for number, shape in enumerate(annotation["shapes"]):
        name, form = shape["label"], shape.get("shape_type") or "polygon"
        where = f"{source}: shape {number} ('{name}')"
        if form == "point":
            continue
        if name not in label_of:
            raise BadSampleError("wrong_label", f"{where} {_no_class(name, label_of)}")
        points = np.array(shape["points"], float).reshape(-1, 2)
        _require_near(points, size, where)
        if form == "mask":
            region = _mask(shape, points, size, where)
        elif form in LINES and line_width is None:
            raise BadSampleError(
                "wrong_format",
                f"{where} is a {form}, which has no area. Type dataset.line_width=PIXELS to draw lines so wide, or "
                "draw a polygon around it.",
            )
        elif form in forms:
            fewest, region_of = forms[form]
            if len(np.unique(points, axis=0)) < fewest:
                raise BadSampleError(
                    "wrong_format", f"{where} is a {form} of too few points. It needs {fewest}. Draw it again."
                )
            region = region_of(points, size)
        else:
            known = ", ".join([*_FORMS, *LINES, "mask"])
            raise BadSampleError("wrong_format", f"{where} is a {form}. Forms that can be drawn: {known}.")
        labels[region] = label_of[name]
    return labels


def _require_near(points: np.ndarray, size: tuple[int, int], where: str) -> None:
    height, width = size
    far = points[((points < (-width, -height)) | (points > (2 * width, 2 * height))).any(axis=1)]
    if len(far):
        raise BadSampleError(
            "wrong_label",
            f"{where} has the point {far[0, 0]:g}, {far[0, 1]:g}, far outside of its image of {width}x{height} pixels "
            "(width x height). Draw it again. Was the image cut or resized after it was annotated?",
        )


def _no_class(name: str, label_of: Mapping[str, int]) -> str:
    classes = [known for known, label in label_of.items() if label != VOID and known not in BACKGROUND_NAMES[1:]]
    nearest = difflib.get_close_matches(name, classes, n=1, cutoff=0.6)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    return (
        f"is none of the classes {', '.join(classes)}.{hint} Rename it, or add it to dataset.classes. What is called "
        f"'{VOID_NAMES[0]}' counts nowhere."
    )


def _polygon(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return coco_mask.decode(coco_mask.frPyObjects([points.ravel().tolist()], *size))[..., 0] > 0


def _rectangle(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return _polygon(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]), size)


def _circle(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # By its formula, which is exact: shapely and OpenCV have polygons for circles, which leave pixels out at the rim.
    (x, y), on_its_edge = points[0], points[1]
    rows, columns = np.ogrid[: size[0], : size[1]]
    return np.hypot(columns + 0.5 - x, rows + 0.5 - y) <= np.hypot(*(on_its_edge - points[0]))


def _line(points: np.ndarray, size: tuple[int, int], width: float) -> np.ndarray:
    around = shapely.LineString(points).buffer(width / 2)  # with round ends and corners
    region = _polygon(shapely.get_coordinates(around.exterior), size)
    for hole in around.interiors:
        region &= ~_polygon(shapely.get_coordinates(hole), size)
    return region


def _mask(shape: Mapping[str, Any], points: np.ndarray, size: tuple[int, int], where: str) -> np.ndarray:
    """Pixels that LabelMe's models have marked: a PNG, and the corner where it lies."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"])), formats=["PNG"]) as picture:
            require_few_pixels(picture.height, picture.width)
            marked = np.asarray(picture.convert("L")) > 0
        left, top = np.round(points[0]).astype(int)
    except Exception as error:
        raise BadSampleError(
            "unreadable", f"{where} is a mask that cannot be read ({error}). Draw it again."
        ) from error
    region = np.zeros(size, bool)
    from_row, from_column = max(top, 0), max(left, 0)
    inside = marked[from_row - top : max(size[0] - top, 0), from_column - left : max(size[1] - left, 0)]
    region[from_row : from_row + inside.shape[0], from_column : from_column + inside.shape[1]] = inside
    return region


# The least number of points of each form that has an area, and how its pixels are found.
_FORMS: dict[str, tuple[int, Region]] = {
    "polygon": (3, _polygon),
    "rectangle": (2, _rectangle),
    "circle": (2, _circle),
}
