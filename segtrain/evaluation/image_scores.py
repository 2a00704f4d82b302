"""The scores of one image."""

from dataclasses import dataclass

import numpy as np

from segtrain.evaluation.boundary_f1 import boundary_f1
from segtrain.training.scores import Scores, scores_of

# Pixels that are counted at once: each takes some 20 bytes meanwhile.
PIXELS_AT_ONCE = 2**20


@dataclass(frozen=True)
class ImageScores:
    """How well one prediction fits.

    Attributes:
        size: `(height, width)` at which it was scored.
        confusion_matrix: int64 `(classes, classes)`; pixels of true class `row` predicted as `column`.
        scores: of that matrix, whatever the run's convention: classes absent from the image are left out.
        boundary_f1: float64 `(classes,)` in 0..1; NaN for classes that are not in the truth.
    """

    size: tuple[int, int]
    confusion_matrix: np.ndarray
    scores: Scores
    boundary_f1: np.ndarray

    @property
    def valid_pixels(self) -> int:
        return int(self.confusion_matrix.sum())

    @property
    def mean_boundary_f1(self) -> float:
        """Mean over the classes in the truth; NaN where none has a boundary."""
        return mean_of_known(self.boundary_f1)


def score_image(truth: np.ndarray, predicted: np.ndarray, *, num_classes: int, ignore_label: int) -> ImageScores:
    """Returns the scores of one image.

    Args:
        truth: labels, uint8 `(height, width)`.
        predicted: classes, uint8 of the same shape.
        num_classes: classes.
        ignore_label: label of void pixels.
    """
    confusion_matrix = count_pixels(truth, predicted, num_classes=num_classes, ignore_label=ignore_label)
    return ImageScores(
        size=truth.shape,
        confusion_matrix=confusion_matrix,
        scores=scores_of(confusion_matrix),
        boundary_f1=boundary_f1(truth, predicted, num_classes=num_classes, ignore_label=ignore_label),
    )


def count_pixels(truth: np.ndarray, predicted: np.ndarray, *, num_classes: int, ignore_label: int) -> np.ndarray:
    """Returns the confusion matrix of one image, void left out; see `score_image`.

    Returns:
        int64 `(classes, classes)`.
    """
    counts = np.zeros(num_classes * num_classes, np.int64)
    rows_at_once = max(1, PIXELS_AT_ONCE // max(1, truth.shape[1]))
    for top in range(0, truth.shape[0], rows_at_once):
        labels, guesses = truth[top : top + rows_at_once], predicted[top : top + rows_at_once]
        is_valid = labels != ignore_label
        cells = labels[is_valid].astype(np.int64) * num_classes + guesses[is_valid]
        counts += np.bincount(cells, minlength=len(counts))
    return counts.reshape(num_classes, num_classes)


def mean_of_known(values: np.ndarray) -> float:
    """Returns the mean of the values that are not NaN, or NaN."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
