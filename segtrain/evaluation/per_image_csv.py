"""per_image.csv: a row of scores for each image, written as the scores come."""

import contextlib
import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from segtrain.evaluation.image_scores import ImageScores
from segtrain.run_folder import written_whole

COLUMNS = ("name", "width", "height", "valid_pixels", "pixel_accuracy", "mean_iou", "boundary_f1")


@contextlib.contextmanager
def per_image_csv(path: Path, class_names: Sequence[str]) -> Iterator[Callable[[str, ImageScores], None]]:
    """Gives a function that writes the row of an image; what has no value in an image is left empty.

    Args:
        path: the file; it is there when all rows are.
        class_names: names of the columns with each class's IoU.
    """
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *(f"iou_{name}" for name in class_names)])

        def write_row(name: str, image: ImageScores) -> None:
            height, width = image.size
            scores = [image.scores.pixel_accuracy, image.scores.mean_iou, image.mean_boundary_f1]
            numbers = ["" if np.isnan(value) else float(value) for value in (*scores, *image.scores.per_class_iou)]
            writer.writerow([name, width, height, image.valid_pixels, *numbers])

        yield write_row
