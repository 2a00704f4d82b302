"""How well boundaries are met, which IoU hardly notices."""

import math

import cv2
import numpy as np

# Share of the image's diagonal within which a boundary pixel counts as met.
TOLERANCE = 0.0075
# How far into void, in tolerances, it is bridged: rims as datasets draw them are up to four wide (Pascal VOC's is one),
# and in the middle of a larger void area there is no boundary that anybody has drawn.
_REACH = 2


def boundary_f1(
    truth: np.ndarray, predicted: np.ndarray, *, num_classes: int, ignore_label: int, tolerance: float = TOLERANCE
) -> np.ndarray:
    """Returns the boundary F1 of each class in one image.

    Precision is the share of the predicted class's boundary pixels that lie within the tolerance of a true one's,
    recall the share of the true ones that lie within it of a predicted one's; F1 is their harmonic mean. A boundary
    pixel has one of another class beside it (4 neighbours).

    Void says that the boundary is somewhere in it, and datasets draw a rim of it around every object. So void takes,
    in truth and prediction alike, what the nearest valid pixel has: the boundary is in the middle of the rim, and what
    is predicted inside void changes nothing. Void further than two tolerances from a valid pixel stays void, whose edge
    is no boundary: one drawn through the middle of a large area would be met by any prediction that is right around it.

    Source: Csurka et al. 2013, What is a good evaluation measure for semantic segmentation?, section 3.2; with the
    tolerance of the SegNet paper, section 4, https://arxiv.org/abs/1511.00561. Neither says how void counts.

    Args:
        truth: labels, uint8 `(height, width)`.
        predicted: classes, uint8, of the same shape.
        num_classes: classes.
        ignore_label: label of void pixels.
        tolerance: as a share of the diagonal; one pixel at least.

    Returns:
        float64 `(classes,)` in 0..1. NaN for a class without a boundary in the truth: it is not there, or fills all
        that is not void. That hangs on the truth alone, so all predictions are averaged over the same classes.

    Raises:
        ValueError: truth and prediction differ in shape.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"Truth and prediction have to have one shape. Received: {truth.shape}, {predicted.shape}.")
    radius = max(1.0, tolerance * math.hypot(*truth.shape))
    truth, predicted = _bridge_void(truth, predicted, ignore_label, _REACH * radius)
    # Places, since many classes in a large image would take many masks of all of it.
    true_edges, found_edges = (np.array(np.nonzero(_edges(labels, ignore_label))) for labels in (truth, predicted))
    true_classes, found_classes = truth[tuple(true_edges)], predicted[tuple(found_edges)]
    scores = np.full(num_classes, np.nan)
    for class_id in np.unique(true_classes):
        true_boundary, found_boundary = (
            true_edges[:, true_classes == class_id],
            found_edges[:, found_classes == class_id],
        )
        precision = _share_within(found_boundary, true_boundary, radius)
        recall = _share_within(true_boundary, found_boundary, radius)
        scores[class_id] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return scores


def _bridge_void(
    truth: np.ndarray, predicted: np.ndarray, ignore_label: int, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns both with the value of the nearest valid pixel in void, and void where none is within reach."""
    void = truth == ignore_label
    predicted = np.where(void, np.asarray(ignore_label, predicted.dtype), predicted)
    if not void.any() or void.all():
        return truth, predicted
    distance, nearest = cv2.distanceTransformWithLabels(
        void.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    bridged = void & (distance <= reach)
    # OpenCV numbers the valid pixels from 1, row by row.
    place, valid = nearest[bridged] - 1, ~void
    truth = truth.copy()
    truth[bridged], predicted[bridged] = truth[valid][place], predicted[valid][place]
    return truth, predicted


def _edges(labels: np.ndarray, ignore_label: int) -> np.ndarray:
    """Returns the pixels beside one of another class, bool `(height, width)`; void is no class."""
    edges, valid = np.zeros(labels.shape, bool), labels != ignore_label
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = (labels[one] != labels[other]) & valid[one] & valid[other]
        edges[one] |= differ
        edges[other] |= differ
    return edges


def _share_within(boundary: np.ndarray, target: np.ndarray, radius: float) -> float:
    """Returns the share of `boundary` no further than `radius` from `target`; zero where either has no pixel.

    Args:
        boundary: rows and columns, int64 `(2, pixels)`.
        target: the same.
        radius: in pixels.
    """
    if not boundary.size or not target.size:
        return 0.0
    both = np.concatenate([boundary, target], axis=1)
    corner = both.min(axis=1, keepdims=True)
    away = np.ones((both.max(axis=1, keepdims=True) - corner + 1).ravel(), np.uint8)
    away[tuple(target - corner)] = 0
    distance = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distance[tuple(boundary - corner)] <= radius + 1e-4).mean())
