"""Which images are predicted worst and best, of as many as there may be."""

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

from segtrain.evaluation.image_scores import ImageScores

OF_ALL = 8
OF_CLASS = 3


@dataclass(frozen=True)
class RankedImage:
    """An image and the score it is ranked by.

    Attributes:
        score: IoU, 0..1.
        index: place in the split.
        name: in the dataset, as UTF-8.
    """

    score: float
    index: int
    name: str

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "iou": self.score}


class Extremes:
    """The worst and the best images by mean IoU, and of each class by its IoU there.

    Images of one score are ranked by how many pixels it is about, so that a class missed on half an image comes before
    one missed on a pixel. Memory does not grow with the number of images.

    Args:
        num_classes: classes.
    """

    def __init__(self, num_classes: int):
        self._worst, self._best = _Largest(OF_ALL), _Largest(OF_ALL)
        self._worst_of = [_Largest(OF_CLASS) for _ in range(num_classes)]
        self._best_of = [_Largest(OF_CLASS) for _ in range(num_classes)]

    def add(self, index: int, name: str, image: ImageScores) -> None:
        """Adds an image; of classes that are neither in its truth nor in its prediction it says nothing."""
        matrix = image.confusion_matrix
        union = matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix)
        self._rank(self._worst, self._best, image.scores.mean_iou, image.valid_pixels, index, name)
        for class_id in np.flatnonzero(union):
            iou = float(image.scores.per_class_iou[class_id])
            self._rank(self._worst_of[class_id], self._best_of[class_id], iou, int(union[class_id]), index, name)

    @property
    def worst(self) -> list[RankedImage]:
        """The worst images, worst first."""
        return self._worst.in_order()

    @property
    def best(self) -> list[RankedImage]:
        """The best images, best first."""
        return self._best.in_order()

    def worst_of(self, class_id: int) -> list[RankedImage]:
        """Returns the images where the class is predicted worst, worst first."""
        return self._worst_of[class_id].in_order()

    def best_of(self, class_id: int) -> list[RankedImage]:
        """Returns the images where the class is predicted best, best first."""
        return self._best_of[class_id].in_order()

    def as_dict(self, class_names: list[str]) -> dict[str, Any]:
        """Returns names and scores for results.json."""
        return {
            "worst": _as_dicts(self.worst),
            "best": _as_dicts(self.best),
            "worst_of_class": {name: _as_dicts(self.worst_of(number)) for number, name in enumerate(class_names)},
            "best_of_class": {name: _as_dicts(self.best_of(number)) for number, name in enumerate(class_names)},
        }

    @staticmethod
    def _rank(worst: "_Largest", best: "_Largest", score: float, pixels: int, index: int, name: str) -> None:
        if np.isnan(score):
            return
        image = RankedImage(score, index, name)
        worst.add((-score, pixels, -index), image)
        # What is nowhere found has no best image.
        if score > 0:
            best.add((score, pixels, -index), image)


class _Largest:
    """The few images with the largest keys; no two keys are the same."""

    def __init__(self, most: int):
        self._most = most
        self._heap: list[tuple[tuple, RankedImage]] = []

    def add(self, key: tuple, image: RankedImage) -> None:
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (key, image))
        else:
            heapq.heappushpop(self._heap, (key, image))

    def in_order(self) -> list[RankedImage]:
        return [image for _, image in sorted(self._heap, reverse=True)]


def _as_dicts(images: list[RankedImage]) -> list[dict[str, Any]]:
    return [image.as_dict() for image in images]
