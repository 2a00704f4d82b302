"""Notices a network that answers one class whatever it sees."""

from collections.abc import Sequence

import numpy as np

from segtrain.training.scores import scores_of

MOST_PREDICTIONS = 0.99
# A mean IoU as near as this, in parts of itself, is that of a network that answers one class.
NEARNESS = 0.05
# A class with more IoU than this is found, so that the network does tell classes apart.
FOUND_IOU = 0.2


def describe_collapse(
    confusion_matrix: np.ndarray, class_names: Sequence[str], *, weighs_classes: bool = False
) -> str | None:
    """Returns what to say where the predictions of a split are as good as one class only, and None elsewhere.

    They are where one class takes over 99 % of them. They are also where nearly all of the mean IoU is that class's,
    and the mean is what answering it everywhere scores: its share of the truth over the number of classes there. A
    split that has nearly nothing but one class is no collapse where another class is found, or where there is none.

    Args:
        confusion_matrix: int64 `(classes, classes)`; pixels of true class `row` predicted as `column`.
        class_names: names by class id.
        weighs_classes: the loss weighs classes already, so that other advice is given.
    """
    truth, predicted = confusion_matrix.sum(axis=1), confusion_matrix.sum(axis=0)
    num_present = np.count_nonzero(truth)
    if num_present < 2:
        return None
    top = int(predicted.argmax())
    share_of_predictions, share_of_truth = predicted[top] / predicted.sum(), truth[top] / truth.sum()
    scores = scores_of(confusion_matrix)
    ious = np.nan_to_num(scores.per_class_iou)
    if np.delete(ious, top).max() > FOUND_IOU:
        return None
    of_one_class = share_of_truth / num_present
    scores_as_one_class = (
        abs(scores.mean_iou - of_one_class) < NEARNESS * of_one_class and ious[top] > (1 - NEARNESS) * ious.sum()
    )
    if share_of_predictions <= MOST_PREDICTIONS and not scores_as_one_class:
        return None
    return (
        f"the network answers one class nearly everywhere: {class_names[top]} is {share_of_predictions:.1%} of the "
        f"validation predictions and {share_of_truth:.1%} of the truth. If it stays so, try "
        f"{'loss=ce_dice' if weighs_classes else 'loss=weighted_cross_entropy'}, or a lower optimizer.learning_rate."
    )
