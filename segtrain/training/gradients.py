"""What the optimizer makes of a step's gradients: summed over replicas, clipped, and left out where they overflow."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    gradients: Sequence[Any | None],
    loss_share: Any,
    num_replicas: int,
) -> None:
    """Has the optimizer change the weights: called by every replica with the gradients of its share of the loss.

    Keras' optimizers add the gradients of all replicas up, but each clips its own before, and the one that scales the
    loss asks the first replica alone whether they have overflowed. For these two the sum is taken here.

    Args:
        optimizer: built for the variables.
        variables: trainable weights.
        gradients: of the loss as the optimizer scales it, of each variable; None where it has none.
        loss_share: the replica's share of the loss; where it is no number, the replica's gradients count as zero.
        num_replicas: how many there are.
    """
    # A loss that is no number would spoil every weight, and then nothing tells which gradient it was.
    is_number = tf.math.is_finite(loss_share)
    gradients = [each if each is None else tf.where(is_number, each, tf.zeros_like(each)) for each in gradients]
    clips, scale = _clipping(getattr(optimizer, "inner_optimizer", optimizer)), _loss_scale(optimizer)
    if num_replicas > 1 and (clips or scale is not None):
        gradients = _clipped_sum(gradients, clips, 1.0 if scale is None else scale)
        # The optimizer's own sum restores them, and its own clipping finds nothing to do.
        gradients = [each if each is None else each / num_replicas for each in gradients]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def _clipped_sum(gradients, clips, scale):
    """Returns the sum over replicas, clipped at `scale` times the optimizer's bounds: it is that of a scaled loss."""
    places = [place for place, each in enumerate(gradients) if each is not None]
    context = tf.distribute.get_replica_context()
    summed = context.all_reduce(tf.distribute.ReduceOp.SUM, [gradients[place] for place in places])
    if "global_clipnorm" in clips:
        summed, _ = tf.clip_by_global_norm(summed, clips["global_clipnorm"] * scale)
    if "clipnorm" in clips:
        summed = [tf.clip_by_norm(each, clips["clipnorm"] * scale) for each in summed]
    if "clipvalue" in clips:
        bound = clips["clipvalue"] * scale
        summed = [tf.where(tf.math.is_finite(each), tf.clip_by_value(each, -bound, bound), each) for each in summed]
    result = list(gradients)
    for place, each in zip(places, summed, strict=True):
        result[place] = each
    return result


def _clipping(optimizer):
    bounds = {name: getattr(optimizer, name, None) for name in ("global_clipnorm", "clipnorm", "clipvalue")}
    return {name: bound for name, bound in bounds.items() if bound}


def _loss_scale(optimizer):
    """Returns what a scaled loss is multiplied by; None where it is not scaled."""
    return tf.convert_to_tensor(optimizer.dynamic_scale) if hasattr(optimizer, "dynamic_scale") else None
