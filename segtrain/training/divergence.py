"""Says what a step that went wrong was made of: its images and its gradients."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segtrain.pipeline.samples import Samples
from segtrain.training.step import loss_and_logits, penalty

# Of a step's images, as many are named on a line.
MOST_NAMED = 16


def describe_step(
    model: keras.Model,
    loss: Callable[[Any, Any], Any],
    training: Samples,
    batch_size: int,
    accumulate: int = 1,
    *,
    epoch: int,
    step: int,
) -> str:
    """Returns the largest gradients and the images of a step, whose forward and backward pass are taken once more.

    Args:
        model: the network, after the step: with the weights it began with, but for what momentum has moved them.
        loss: the loss.
        training: what it trains on; a step's images are a function of epoch and step.
        batch_size: images of a batch.
        accumulate: batches of a step.
        epoch: counted from 0.
        step: of the epoch, counted from 0.
    """
    num_images = batch_size * accumulate
    indices = training.order(epoch)[step * num_images :][:num_images]
    names = [training.name(index) for index in indices]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    images = f"Images of the step: {', '.join(names[:MOST_NAMED])}{more}."
    spoiled = [variable.path for variable in model.trainable_variables if not np.isfinite(_numpy(variable)).all()]
    if spoiled:
        return f"{_and_more(spoiled)} held no numbers any more before it. {images}"
    batches = (training.batch(part, epoch=epoch) for part in indices.reshape(accumulate, batch_size))
    gradients = _gradients(model, loss, batches)
    return f"{_describe_gradients(model.trainable_variables, gradients)} {images}"


def _gradients(model: keras.Model, loss: Callable, batches: Iterable[tuple[Any, Any]]) -> list[np.ndarray | None]:
    """Returns those of the mean of the batches' losses."""
    before = [_numpy(variable) for variable in model.non_trainable_variables]

    @tf.function
    def gradients(images, labels):
        with tf.GradientTape() as tape:
            value, _ = loss_and_logits(functools.partial(model, training=True), loss, images, labels)
            objective = value + penalty(model)
        return tape.gradient(objective, [variable.value for variable in model.trainable_variables])

    try:
        of_batches = [gradients(images, tf.constant(labels)) for images, labels in batches]
    finally:  # a forward pass moves averages and random state
        for variable, value in zip(model.non_trainable_variables, before, strict=True):
            variable.assign(value)
    return [
        None if parts[0] is None else np.mean([part.numpy() for part in parts], axis=0)
        for parts in zip(*of_batches, strict=True)
    ]


def _describe_gradients(variables: Sequence[Any], gradients: Sequence[np.ndarray | None]) -> str:
    largest = {
        variable.path: float(np.abs(gradient).max())
        for variable, gradient in zip(variables, gradients, strict=True)
        if gradient is not None
    }
    finite = {path: value for path, value in largest.items() if np.isfinite(value)}
    words = []
    if len(finite) < len(largest):
        # The loss is behind the last of them, and what is no number goes on from there to the first.
        spoiled = [path for path in reversed(largest) if path not in finite]
        words.append(f"Gradients of {_and_more(spoiled)} are {largest[spoiled[0]]}.")
    if finite:
        path = max(finite, key=finite.get)
        words.append(f"The largest gradient{' that is a number' * bool(words)} is {finite[path]:.3g}, of {path}.")
    return " ".join(words)


def _and_more(paths: Sequence[str]) -> str:
    return paths[0] + (f" and {len(paths) - 1} other variables" if len(paths) > 1 else "")


def _numpy(variable: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable)
