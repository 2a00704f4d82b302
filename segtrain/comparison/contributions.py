"""The scores of a run, and how much each image moves them."""

import math
from dataclasses import dataclass

import numpy as np

from segtrain.evaluation.image_counts import ImageCounts
from segtrain.training.convention import MetricConvention

# What a class that is in neither truth nor prediction counts in the mean; NaN is left out.
_IOU_OF_ABSENT = {"segtrain": np.nan, "per_image": np.nan, "absent_as_one": 1.0, "absent_as_zero": 0.0}


@dataclass(frozen=True)
class Contributions:
    """Scores over a set of images, and what each image contributes.

    Attributes:
        measures: `mean_iou`, `pixel_accuracy`, `boundary_f1`, then `iou_<class>` of each class.
        values: float64 `(measures,)` in 0..1; NaN for a class that is nowhere.
        of_images: float64 `(images, measures)`, mean 0 over the images: the jackknife's `(images - 1) (score - score
            without the image)`, of a mean IoU class by class. Their variance divided by the number of images is that
            of the score as images are drawn from where these came from. A class that is in one image alone
            contributes nothing. Source: Efron and Stein 1981, The Jackknife Estimate of Variance,
            https://doi.org/10.1214/aos/1176345462.
        freedom: float64 `(measures,)`, degrees of freedom that this variance has. Of a class, the images in whose truth
            it is, less one: the others move nothing, and tell nothing of how much these vary. Of a mean over classes,
            what Satterthwaite's rule makes of theirs; no more than there are images, less one.
    """

    measures: list[str]
    values: np.ndarray
    of_images: np.ndarray
    freedom: np.ndarray


def contributions(counts: ImageCounts, convention: MetricConvention = "segtrain") -> Contributions:
    """Returns the scores of a run as `segtrain.training.scores` has them, with each image's contribution.

    Args:
        counts: of the run's images.
        convention: under which they are scored.

    Raises:
        ValueError: there is no such convention.
    """
    if convention not in _IOU_OF_ABSENT:
        raise ValueError(f"convention: one of {', '.join(_IOU_OF_ABSENT)} is required, not {convention}.")
    right, union = counts.right, counts.in_truth + counts.in_prediction - counts.right
    all_right, all_pixels = right.sum(axis=1), counts.in_truth.sum(axis=1)
    if convention == "per_image":
        mean_iou = _mean_over_images(_mean_of_known(_divide(right, union)))
        ious = _mean_over_images(_divide(right, union))
        accuracy = _mean_over_images(_divide(all_right, all_pixels))
    else:
        ious = _ratio_of_sums(right, union)
        mean_iou = _mean_over_classes(*ious, absent=_IOU_OF_ABSENT[convention])
        accuracy = _ratio_of_sums(all_right, all_pixels)
    values, of_images = zip(mean_iou, accuracy, _mean_over_images(counts.boundary_f1), strict=True)
    # Of the mean over images, a class counts where it is predicted too.
    of_classes = ((union if convention == "per_image" else counts.in_truth) > 0).sum(axis=0) - 1.0
    of_all = (all_pixels > 0).sum() - 1.0
    of_mean = of_all if convention == "per_image" else min(of_all, _freedom_of_mean(ious[1], of_classes))
    of_boundary = (~np.isnan(counts.boundary_f1)).sum() - 1.0
    return Contributions(
        ["mean_iou", "pixel_accuracy", "boundary_f1", *(f"iou_{name}" for name in counts.class_names)],
        np.concatenate([values, np.where(np.isnan(ious[0]), _IOU_OF_ABSENT[convention], ious[0])]),
        np.column_stack([*of_images, ious[1]]),
        np.array([of_mean, of_all, of_boundary, *of_classes]),
    )


def _ratio_of_sums(parts: np.ndarray, wholes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ratio of two sums over images, `(...)`, and each image's contribution, `(images, ...)`."""
    whole = wholes.sum(axis=0)
    ratio, others = _divide(parts.sum(axis=0), whole), whole - wholes
    moved = np.where(others > 0, _divide(parts - ratio * wholes, others), 0.0) * (len(parts) - 1)
    return ratio, moved - moved.mean(axis=0)


def _mean_over_images(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    is_known = ~np.isnan(scores)
    return _ratio_of_sums(np.where(is_known, scores, 0.0), is_known.astype(np.float64))


def _mean_over_classes(ious: np.ndarray, of_images: np.ndarray, *, absent: float) -> tuple[np.ndarray, np.ndarray]:
    is_counted = ~np.isnan(np.where(np.isnan(ious), absent, ious))
    mean = _mean_of_known(np.where(np.isnan(ious), absent, ious))
    return mean, _divide(of_images.sum(axis=-1), np.float64(is_counted.sum()))


def _freedom_of_mean(of_images: np.ndarray, freedom: np.ndarray) -> float:
    """Returns that of the mean over classes, as if they were independent: near a rare class's where it varies most."""
    is_known = freedom > 0
    variances = of_images.var(axis=0)[is_known]
    squares = np.sum(variances**2 / freedom[is_known])
    return float(variances.sum() ** 2 / squares) if squares > 0 else math.inf


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Returns the mean over the last axis of what is not NaN, or NaN."""
    is_known = ~np.isnan(values)
    return _divide(np.where(is_known, values, 0.0).sum(axis=-1), is_known.sum(axis=-1))


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
