"""How well boundaries are met, which IoU hardly notices."""

import math
from collections.abc import Iterable

import cv2
import numpy as np

# Share of the image's diagonal within which a boundary pixel counts as met.
TOLERANCE = 0.0075


def boundary_f1(
    truth: np.ndarray, predicted: np.ndarray, *, num_classes: int, ignore_label: int, tolerance: float = TOLERANCE
) -> np.ndarray:
    """Returns the boundary F1 of each class in one image.

    Precision is the share of the predicted class's boundary pixels that lie within the tolerance of a true one's,
    recall the share of the true ones that lie within it of a predicted one's; F1 is their harmonic mean. A boundary
    pixel has one of the class's own on one side and one of another class on another (4 neighbours). The rim of void
    is no boundary, and what is predicted inside void is not looked at.

    Source: Csurka et al. 2013, What is a good evaluation measure for semantic segmentation?; with the tolerance of the
    SegNet paper, section 4, https://arxiv.org/abs/1511.00561.

    Args:
        truth: labels, integer `(height, width)`.
        predicted: classes, of the same shape.
        num_classes: classes.
        ignore_label: label of void pixels.
        tolerance: as a share of the diagonal; one pixel at least.

    Returns:
        float64 `(classes,)` in 0..1; NaN for a class that the truth does not have, or whose boundary is not to be seen
        in truth and prediction alike, since it fills all that is not void.
    """
    height, width = truth.shape
    radius = max(1.0, tolerance * math.hypot(height, width))
    predicted = np.where(truth == ignore_label, ignore_label, predicted)
    scores = np.full(num_classes, np.nan)
    for class_id in np.unique(truth[truth != ignore_label]):
        true_boundary = _boundary(truth, class_id, ignore_label)
        found_boundary = _boundary(predicted, class_id, ignore_label)
        if not true_boundary.any() and not found_boundary.any():
            continue
        precision = _share_within(found_boundary, true_boundary, radius)
        recall = _share_within(true_boundary, found_boundary, radius)
        scores[class_id] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return scores


def mean_boundary_f1(pairs: Iterable[tuple[np.ndarray, np.ndarray]], *, num_classes: int, ignore_label: int) -> float:
    """Returns the boundary F1 of a split: the mean over the classes in an image's truth, then over the images.

    Args:
        pairs: truth and prediction of each image, as `boundary_f1` takes them; one by one.
        num_classes: classes.
        ignore_label: label of void pixels.

    Returns:
        A number in 0..1; NaN where no image has a boundary. One that has none counts nowhere.
    """
    total, count = 0.0, 0
    for truth, predicted in pairs:
        scores = boundary_f1(truth, predicted, num_classes=num_classes, ignore_label=ignore_label)
        if not np.isnan(scores).all():
            total, count = total + float(np.nanmean(scores)), count + 1
    return total / count if count else math.nan


def _boundary(labels: np.ndarray, class_id: int, ignore_label: int) -> np.ndarray:
    """Returns the pixels of the class beside a pixel of another class, bool `(height, width)`."""
    own, other = labels == class_id, (labels != class_id) & (labels != ignore_label)
    beside_other = np.zeros_like(own)
    beside_other[1:] |= other[:-1]
    beside_other[:-1] |= other[1:]
    beside_other[:, 1:] |= other[:, :-1]
    beside_other[:, :-1] |= other[:, 1:]
    return own & beside_other


def _share_within(boundary: np.ndarray, target: np.ndarray, radius: float) -> float:
    """Returns the share of `boundary` no further than `radius` from `target`; zero where either has no pixel."""
    if not boundary.any() or not target.any():
        return 0.0
    distance = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[boundary] <= radius + 1e-4).mean())
