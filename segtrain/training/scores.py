"""Scores from a confusion matrix."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from segtrain.datasets.dataset import SegmentationDataset


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says, under the metric contract.

    Void pixels are in no matrix. A class absent from truth and prediction alike has no IoU and is left out of the
    mean; a class absent from the truth has no accuracy and is left out of that mean.

    Attributes:
        confusion_matrix: int64 `(classes, classes)`; pixels of true class `row` predicted as `column`.
    """

    confusion_matrix: np.ndarray

    @property
    def per_class_iou(self) -> np.ndarray:
        """Intersection over union by class id, in 0..1; NaN for a class absent from truth and prediction."""
        right, truth, predicted = self._counts()
        return _ratio(right, truth + predicted - right)

    @property
    def mean_iou(self) -> float:
        """Mean of `per_class_iou` over the classes that have one; NaN when no pixel counted."""
        return _mean(self.per_class_iou)

    @property
    def pixel_accuracy(self) -> float:
        """Share of valid pixels whose class is right; NaN when no pixel counted."""
        right, truth, _ = self._counts()
        return float(_ratio(right.sum(), truth.sum()))

    @property
    def mean_class_accuracy(self) -> float:
        """Mean over the classes in the truth of the share of their pixels that is right."""
        right, truth, _ = self._counts()
        return _mean(_ratio(right, truth))

    @property
    def frequency_weighted_iou(self) -> float:
        """Mean of the IoU weighted by each class's share of the valid pixels; NaN when no pixel counted.

        Source: Long et al. 2015, Fully Convolutional Networks, section 5, https://arxiv.org/abs/1411.4038.
        """
        _, truth, _ = self._counts()
        return float(_ratio(np.nansum(self.per_class_iou * truth), truth.sum()))

    @property
    def mean_dice(self) -> float:
        """Mean over the classes in truth or prediction of the Dice coefficient, `2 both / (truth + predicted)`."""
        right, truth, predicted = self._counts()
        return _mean(_ratio(2 * right, truth + predicted))

    def as_dict(self, class_names: list[str]) -> dict[str, Any]:
        """Returns the scores with plain numbers for JSON; what has no value is None."""
        return {
            "mean_iou": _plain(self.mean_iou),
            "pixel_accuracy": _plain(self.pixel_accuracy),
            "mean_class_accuracy": _plain(self.mean_class_accuracy),
            "frequency_weighted_iou": _plain(self.frequency_weighted_iou),
            "mean_dice": _plain(self.mean_dice),
            "per_class_iou": {name: _plain(value) for name, value in zip(class_names, self.per_class_iou, strict=True)},
        }

    def _counts(self):
        matrix = self.confusion_matrix
        return np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)


# What `dataset.resize` makes of the images that are scored.
_RESIZED = {
    "stretch": "images stretched",
    "crop_square": "images cropped to their largest centred part of that aspect ratio",
    "letterbox": "images letterboxed",
}


def metric_contract(dataset: SegmentationDataset, image_size: tuple[int, int] | None) -> dict[str, Any]:
    """Returns what has to stand beside a score for it to mean something."""
    evaluated_at = "each image's own size"
    if image_size is not None:
        height, width = image_size
        evaluated_at = f"{height}x{width} (height x width), the network's size; {_RESIZED[dataset.resize]}"
    return {
        "evaluated_at": evaluated_at,
        "num_classes": dataset.num_classes,
        "ignore_label": dataset.ignore_label,
        "rule": "one confusion matrix over the whole split; void pixels are left out, and classes absent from both "
        "truth and prediction are left out of the mean",
    }


def _ratio(part, whole):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _mean(values):
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def _plain(value):
    return None if np.isnan(value) else float(value)
