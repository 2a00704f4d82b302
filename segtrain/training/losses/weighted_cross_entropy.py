"""Cross-entropy in which rare classes count for more."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import tensorflow as tf
from annotated_types import Ge, Gt, Lt

from segtrain.pipeline.class_balance import CountsClasses, TellsLine, describe_weights, require_weights, weights_by_rule
from segtrain.training.losses.valid_pixels import cross_entropy_per_pixel, valid_pixels
from segtrain.training.replicas import sum_over_replicas


def build_weighted_cross_entropy(
    *,
    ignore_label: int,
    class_names: Sequence[str],
    class_balance: CountsClasses,
    tell: TellsLine = lambda line: None,
    weights: Literal["median_frequency", "inverse", "effective_number"]
    | list[Annotated[float, Ge(0)]] = "median_frequency",
    beta: Annotated[float, Gt(0), Lt(1)] = 0.99,
) -> Callable[[Any, Any], Any]:
    """Returns the weighted mean of cross-entropy: `sum(w[y] * cross_entropy) / sum(w[y])` over the valid pixels.

    Both sums go over the global batch, so that only the weights' ratios matter. A class that has no pixel in the
    training split weighs 0. Over a whole split, the loss reported is the mean of its batches',
    each weighed by its valid pixels.

    Source: Eigen and Fergus 2015, https://arxiv.org/abs/1411.4734, section 6.3.2, for `median_frequency`, which SegNet
    follows; Cui et al. 2019, https://arxiv.org/abs/1901.05555, for `effective_number`. The rules are defined in
    `segtrain.pipeline.class_balance`.

    Args:
        ignore_label: label of the pixels to leave out.
        class_names: names by class id.
        class_balance: counts the training split; called where a rule needs it.
        tell: takes a line that says what the weights are.
        weights: `median_frequency`, `inverse` or `effective_number` of the training split, or a number for each class.
        beta: of `effective_number`: a class that fills more than 1 / (1 - beta) images counts as one that fills as
            many.

    Returns:
        The loss; see `segtrain.training.losses`.

    Raises:
        ValueError: a list without one number for each class.
    """
    if isinstance(weights, str):
        by_class = weights_by_rule(weights, class_balance(), beta=beta)
        tell(f"class weights ({weights}): {describe_weights(class_names, by_class)}")
    else:
        by_class = require_weights(weights, class_names)
        tell(f"class weights: {describe_weights(class_names, by_class)}")
    by_class = by_class.astype("float32")

    def weights_of(labels):
        valid, classes = valid_pixels(labels, ignore_label)
        return tf.where(valid, tf.gather(tf.constant(by_class), classes), 0.0), classes

    def weighted_cross_entropy(labels, logits):
        weight, classes = weights_of(labels)
        total = sum_over_replicas(tf.reduce_sum(weight))
        return tf.math.divide_no_nan(tf.reduce_sum(weight * cross_entropy_per_pixel(classes, logits)), total)

    weighted_cross_entropy.weight = lambda labels: tf.reduce_sum(weights_of(labels)[0])
    return weighted_cross_entropy
