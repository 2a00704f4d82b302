"""Scores from confusion matrices, under the conventions that tools differ in."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.prediction.test_time_augmentation import SCALES
from segtrain.training.convention import MetricConvention

# What a class scores that a mean over classes has nothing to say about; NaN is left out of means.
_SCORE_OF_ABSENT = {"segtrain": np.nan, "per_image": np.nan, "absent_as_one": 1.0, "absent_as_zero": 0.0}
_RULES = {
    "segtrain": "one confusion matrix over the whole split; void pixels are left out, and classes absent from both "
    "truth and prediction are left out of the mean",
    "absent_as_one": "one confusion matrix over the whole split; void pixels are left out, and classes absent from "
    "both truth and prediction count 1 in the mean",
    "absent_as_zero": "one confusion matrix over the whole split; void pixels are left out, and classes absent from "
    "both truth and prediction count 0 in the mean",
    "per_image": "a confusion matrix of each image, whose scores are averaged over the images; void pixels are left "
    "out, and of each image's mean the classes absent from both its truth and its prediction",
}


@dataclass(frozen=True)
class Scores:
    """How well predictions fit the truth. Void pixels count nowhere; NaN stands for a score that nothing defines.

    Attributes:
        mean_iou: mean of `per_class_iou`, 0..1.
        pixel_accuracy: share of valid pixels whose class is right; NaN when no pixel counted.
        mean_class_accuracy: mean over the classes in the truth of the share of their pixels that is right.
        frequency_weighted_iou: mean of the IoU weighted by each class's share of the valid pixels. Source: Long et al.
            2015, Fully Convolutional Networks, section 5, https://arxiv.org/abs/1411.4038.
        mean_dice: mean over the classes of the Dice coefficient, `2 both / (truth + predicted)`.
        per_class_iou: float64 `(classes,)`, intersection over union by class id.
        is_absent: bool `(classes,)`, classes that are in neither truth nor prediction.
    """

    mean_iou: float
    pixel_accuracy: float
    mean_class_accuracy: float
    frequency_weighted_iou: float
    mean_dice: float
    per_class_iou: np.ndarray
    is_absent: np.ndarray

    def as_dict(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Returns the scores with plain numbers for JSON; what has no value is None."""
        return {
            **{name: plain_number(getattr(self, name)) for name in _MEANS},
            "per_class_iou": {
                name: plain_number(iou) for name, iou in zip(class_names, self.per_class_iou, strict=True)
            },
            "absent_classes": [name for name, absent in zip(class_names, self.is_absent, strict=True) if absent],
        }


# In this order wherever scores are added up over images.
_MEANS = [field.name for field in fields(Scores) if field.type in (float, "float")]


def scores_of(confusion_matrix: np.ndarray, convention: MetricConvention = "segtrain") -> Scores:
    """Returns the scores of a confusion matrix.

    Args:
        confusion_matrix: int64 `(classes, classes)`; pixels of true class `row` predicted as `column`.
        convention: what classes in neither truth nor prediction count; in the mean of accuracies those are meant that
            the truth does not have. `segtrain` and `per_image` leave them out.
    """
    right, truth, predicted = np.diag(confusion_matrix), confusion_matrix.sum(axis=1), confusion_matrix.sum(axis=0)
    absent = _SCORE_OF_ABSENT[convention]
    per_class_iou = _ratio(right, truth + predicted - right, absent)
    return Scores(
        mean_iou=_mean(per_class_iou),
        pixel_accuracy=float(_ratio(right.sum(), truth.sum())),
        mean_class_accuracy=_mean(_ratio(right, truth, absent)),
        frequency_weighted_iou=float(_ratio(np.nansum(per_class_iou * truth), truth.sum())),
        mean_dice=_mean(_ratio(2 * right, truth + predicted, absent)),
        per_class_iou=per_class_iou,
        is_absent=truth + predicted == 0,
    )


NUM_MEANS = len(_MEANS)


class MeanOverImages:
    """Averages scores over images, each image alike; what has no value in an image is left out of its average."""

    def __init__(self, num_classes: int):
        self._sum = np.zeros(len(_MEANS) + num_classes)
        self._count = np.zeros(len(_MEANS) + num_classes, np.int64)
        self._is_absent = np.ones(num_classes, bool)

    def add(self, scores: Scores) -> None:
        """Adds an image's scores, of `scores_of(its confusion matrix)`."""
        values = np.concatenate([[getattr(scores, name) for name in _MEANS], scores.per_class_iou])
        self._sum += np.nan_to_num(values, nan=0.0)
        self._count += ~np.isnan(values)
        self._is_absent &= scores.is_absent

    def result(self) -> Scores:
        """Returns the averages; a class is absent where it is so in every image."""
        return mean_of_sums(self._sum, self._count, self._is_absent.copy())


def mean_of_sums(sums: np.ndarray, counts: np.ndarray, is_absent: np.ndarray) -> Scores:
    """Returns the averages of scores that were added up over images.

    Args:
        sums: float64 `(5 + classes,)`: the means in the order of `Scores`, then the IoU of each class.
        counts: `(5 + classes,)`, in how many images each has a value.
        is_absent: bool `(classes,)`, classes that are in no image.
    """
    averages = _ratio(sums, counts)
    means = dict(zip(_MEANS, averages[: len(_MEANS)].tolist(), strict=True))
    return Scores(**means, per_class_iou=averages[len(_MEANS) :], is_absent=is_absent)


BOUNDARY_RULE = (
    "boundary F1 with a tolerance of 0.75 % of the diagonal of the image as it is scored, at least a pixel; void "
    "counts as what lies nearest to it, two tolerances deep; classes without a boundary in an image's truth "
    "are left out"
)

# What `dataset.resize` makes of the images that are scored.
_RESIZED = {
    "stretch": "images stretched",
    "crop_square": "images cropped to their largest centred part of that aspect ratio",
    "letterbox": "images letterboxed",
}


def metric_contract(
    dataset: SegmentationDataset,
    image_size: tuple[int, int] | None,
    convention: MetricConvention = "segtrain",
    *,
    logits_stride: int = 1,
    scale: Literal["native", "original"] = "native",
    tta: Sequence[str] = (),
    sliding_window: tuple[int, int] | None = None,
    overlap: float | None = None,
) -> dict[str, Any]:
    """Returns what has to stand beside a score for it to mean something.

    Args:
        dataset: says classes, void and how images reach the network's size.
        image_size: `(height, width)` that the network sees; None is each image's own.
        convention: see `scores_of`; `per_image` averages over images.
        logits_stride: pixels of the network's size, in height and width, to one that is scored.
        scale: whether images are scored at the network's size or at their own.
        tta: test-time augmentation.
        sliding_window: `(height, width)` of the windows that the network saw one by one.
        overlap: share of a window that the next one overlaps by.
    """
    evaluated_at = _describe_scale(dataset, image_size, logits_stride, scale, is_tiled=sliding_window is not None)
    if sliding_window is not None:
        height, width = sliding_window
        evaluated_at += f"; seen in windows of {height}x{width} that overlap by {overlap:.0%}"
    if tta:
        evaluated_at += f"; averaged over {' at '.join(_AVERAGED_OVER[name] for name in _AVERAGED_OVER if name in tta)}"
    return {
        "evaluated_at": evaluated_at,
        "num_classes": dataset.num_classes,
        "ignore_label": dataset.ignore_label,
        "convention": convention,
        "rule": _RULES[convention],
        "boundary": BOUNDARY_RULE,
        "scale": scale,
        "tta": list(dict.fromkeys(tta)),
        "sliding_window": sliding_window and list(sliding_window),
        "overlap": overlap,
    }


# In the order in which they are said: "the image and its mirror image at scales 0.75, 1 and 1.25".
_AVERAGED_OVER = {
    "flip": "the image and its mirror image",
    "scales": f"scales {', '.join(f'{scale:g}' for scale in SCALES[:-1])} and {SCALES[-1]:g}",
}
# At what size the network sees images that are scored at their own, where not in windows.
_SEEN_WHOLE = {
    "stretch": "from logits at {size}, the network's size",
    "letterbox": "from logits of the image fitted into {size}, the network's size",
    "crop_square": "from logits of the whole image, scaled as its largest part of that aspect ratio is to {size}",
}


def _describe_scale(dataset, image_size, logits_stride, scale, is_tiled):
    if image_size is None:
        return "each image's own size" + (f" divided by {logits_stride}, that of the logits" * (logits_stride > 1))
    size = "{}x{} (height x width)".format(*image_size)
    if scale == "original":
        return "each image's own size" + ("" if is_tiled else ", " + _SEEN_WHOLE[dataset.resize].format(size=size))
    if logits_stride > 1:
        size_of_logits = "x".join(str(-(-length // logits_stride)) for length in image_size)
        return f"{size_of_logits}, the size of the logits for images of {size}; {_RESIZED[dataset.resize]}"
    return f"{size}, the network's size; {_RESIZED[dataset.resize]}"


def plain_number(value: float) -> float | None:
    """Returns a number for JSON, which has no NaN."""
    return None if np.isnan(value) else float(value)


def _ratio(part, whole, otherwise=np.nan):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, otherwise)


def _mean(values):
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
