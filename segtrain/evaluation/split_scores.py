"""The scores of a whole split, gone over image by image."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segtrain.evaluation.extremes import Extremes
from segtrain.evaluation.image_counts import ImageCounts, pixels_of, write_image_counts
from segtrain.evaluation.image_scores import ImageScores, score_image
from segtrain.evaluation.per_image_csv import per_image_csv
from segtrain.evaluation.predictions import Predictions
from segtrain.in_threads import map_in_threads
from segtrain.machine import usable_cores
from segtrain.training.scores import MeanOverImages, MetricConvention, Scores, plain_number, scores_of

# Of images that are scored in threads at one time: boundaries take some 15 bytes a pixel meanwhile.
PIXELS_IN_WORK = 2**25


@dataclass(frozen=True)
class SplitScores:
    """What there is to say of a split's predictions.

    Attributes:
        scores: under the convention.
        confusion_matrix: int64 `(classes, classes)` over all images.
        mean_image_accuracy: pixel accuracy of each image, averaged over the images.
        boundary_f1: mean over the classes in each image's truth, then over the images.
        per_class_boundary_f1: float64 `(classes,)`, mean over the images whose truth has the class; NaN where none has.
        num_images: images.
        extremes: the images to look at.
    """

    scores: Scores
    confusion_matrix: np.ndarray
    mean_image_accuracy: float
    boundary_f1: float
    per_class_boundary_f1: np.ndarray
    num_images: int
    extremes: Extremes

    def as_dict(self, class_names: list[str]) -> dict[str, Any]:
        """Returns the scores with plain numbers for JSON; what has no value is None."""
        boundaries = zip(class_names, self.per_class_boundary_f1, strict=True)
        return {
            **self.scores.as_dict(class_names),
            "mean_image_accuracy": plain_number(self.mean_image_accuracy),
            "boundary_f1": plain_number(self.boundary_f1),
            "per_class_boundary_f1": {name: plain_number(value) for name, value in boundaries},
            "num_images": self.num_images,
        }


def evaluate_split(
    predictions: Predictions,
    convention: MetricConvention,
    csv_path: Path,
    track: Callable[[Iterable], Iterable] = iter,
) -> SplitScores:
    """Scores a split, and writes per_image.csv as it goes and per_image.npz beside it.

    Memory grows with the number of images by what per_image.npz holds: 12 bytes an image and class.

    Args:
        predictions: what to score.
        convention: how classes that are absent count, and whether scores are averages over images.
        csv_path: where the row of each image goes; see `per_image_csv` and, of the .npz file, `ImageCounts`.
        track: what shows progress: given the images' scores, yields them.
    """
    samples, dataset = predictions.samples, predictions.samples.dataset
    sums = _Sums(dataset.num_classes, convention)

    def score(pair: tuple[np.ndarray, np.ndarray]) -> ImageScores:
        return score_image(*pair, num_classes=dataset.num_classes, ignore_label=dataset.ignore_label)

    # OpenCV leaves Python's lock while it measures distances, so boundaries cost little beside the network.
    scored = map_in_threads(
        score, predictions, num_threads=usable_cores(), room=PIXELS_IN_WORK, size=lambda pair: pair[0].size
    )
    with per_image_csv(csv_path, dataset.class_names) as write_row:
        for index, image in enumerate(track(scored)):
            name = _readable(samples.name(index))
            write_row(name, image)
            sums.add(index, name, image)
    write_image_counts(csv_path.with_suffix(".npz"), sums.image_counts(dataset.class_names))
    return sums.result()


def _readable(name: str) -> str:
    """Returns a name for files in UTF-8, which names of files need not be: other bytes of it as `\\xe9`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Sums:
    def __init__(self, num_classes: int, convention: MetricConvention):
        self._convention = convention
        self._confusion_matrix = np.zeros((num_classes, num_classes), np.int64)
        self._over_images = MeanOverImages(num_classes)
        # Pixel accuracy, boundary F1, boundary F1 of each class.
        self._sum, self._count = np.zeros(2 + num_classes), np.zeros(2 + num_classes, np.int64)
        self._names: list[str] = []
        self._pixels: list[np.ndarray] = []
        self._boundary_f1: list[float] = []
        self._extremes = Extremes(num_classes)

    def add(self, index: int, name: str, image: ImageScores) -> None:
        self._confusion_matrix += image.confusion_matrix
        self._over_images.add(image.scores)
        values = np.array([image.scores.pixel_accuracy, image.mean_boundary_f1, *image.boundary_f1])
        self._sum += np.nan_to_num(values, nan=0.0)
        self._count += ~np.isnan(values)
        self._names.append(name)
        self._pixels.append(pixels_of(image.confusion_matrix))
        self._boundary_f1.append(image.mean_boundary_f1)
        self._extremes.add(index, name, image)

    def image_counts(self, class_names: list[str]) -> ImageCounts:
        num_classes = len(self._confusion_matrix)
        pixels = np.array(self._pixels, np.uint32).reshape(-1, num_classes, 3)
        return ImageCounts(self._names, class_names, pixels, np.array(self._boundary_f1, np.float64))

    def result(self) -> SplitScores:
        averages = np.divide(self._sum, self._count, out=np.full(len(self._sum), np.nan), where=self._count > 0)
        over_images = self._convention == "per_image"
        return SplitScores(
            scores=self._over_images.result() if over_images else scores_of(self._confusion_matrix, self._convention),
            confusion_matrix=self._confusion_matrix,
            mean_image_accuracy=float(averages[0]),
            boundary_f1=float(averages[1]),
            per_class_boundary_f1=averages[2:],
            num_images=len(self._names),
            extremes=self._extremes,
        )
