"""What the steps of a split add up to."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from segtrain.training.confusion import ConfusionMatrix
from segtrain.training.convention import MetricConvention
from segtrain.training.image_score_sums import ImageScoreSums
from segtrain.training.labels_at_logits import labels_at_logits
from segtrain.training.replicas import sum_over_replicas, variable_of_sums
from segtrain.training.scores import Scores, mean_of_sums, scores_of


@dataclass(frozen=True)
class Evaluation:
    """Loss and scores of a whole split.

    Attributes:
        loss: mean of the steps' losses, each weighed by its valid pixels. It is the mean over all valid pixels where a
            loss is that of its step; with weighted_cross_entropy it is not, whose pixels weigh unlike.
        scores: under the metric contract.
        confusion_matrix: int64 `(classes, classes)`; pixels of true class `row` predicted as `column`.
    """

    loss: float
    scores: Scores
    confusion_matrix: np.ndarray

    @property
    def logs(self) -> dict[str, float]:
        """What of it an epoch's logs hold: loss, pixel_accuracy and mean_iou."""
        scores = self.scores
        return {"loss": self.loss, "pixel_accuracy": scores.pixel_accuracy, "mean_iou": scores.mean_iou}


class Tally:
    """What a split's steps add up to, on the device: the confusion matrix, and the loss weighed by valid pixels."""

    def __init__(self, num_classes: int, ignore_label: int, convention: MetricConvention = "segtrain"):
        self._ignore_label = ignore_label
        self._convention = convention
        self._of_images = ImageScoreSums(num_classes) if convention == "per_image" else None
        self._confusion = ConfusionMatrix(num_classes, ignore_label)
        self._loss_sum, self._weight = (variable_of_sums(tf.zeros((), tf.float64)) for _ in range(2))

    def update(self, labels, logits, loss_share):
        labels = labels_at_logits(labels, logits)
        if self._of_images is None:
            self._confusion.update(labels, logits)
        else:
            self._of_images.update(self._confusion.update_by_image(labels, logits))
        valid = tf.not_equal(labels, tf.cast(self._ignore_label, labels.dtype))
        weight = sum_over_replicas(tf.reduce_sum(tf.cast(valid, tf.float64)))
        self._loss_sum.assign_add(sum_over_replicas(tf.cast(loss_share, tf.float64)) * weight)
        self._weight.assign_add(weight)

    @property
    def variables(self) -> list[tf.Variable]:
        of_images = [] if self._of_images is None else self._of_images.variables
        return [*self._confusion.variables, *of_images, self._loss_sum, self._weight]

    def reset(self):
        self._confusion.reset()
        if self._of_images is not None:
            self._of_images.reset()
        self._loss_sum.assign(0.0)
        self._weight.assign(0.0)

    def result(self) -> Evaluation:
        weight = float(self._weight.read_value())
        loss = float(self._loss_sum.read_value()) / weight if weight else float("nan")
        confusion_matrix = self._confusion.result()
        scores = scores_of(confusion_matrix, self._convention)
        if self._of_images is not None:
            scores = mean_of_sums(*self._of_images.result(), scores.is_absent)
        return Evaluation(loss, scores, confusion_matrix)
