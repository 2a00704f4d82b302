"""A forward pass that keeps little for the backward pass, which computes the rest once more."""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf


def recomputing(model: keras.Model) -> Callable[..., Any]:
    """Returns a model's forward pass in training, cut into segments of which only the ends are kept.

    Loss and gradients are the same: a segment that is computed once more draws the dropout masks that it drew before,
    and moves no running averages. (Keras' RematScope wraps each layer by itself, and keeps what goes in: nearly all.)

    Args:
        model: a graph of layers, from images to logits.

    Returns:
        A function of images that returns logits.

    Raises:
        ValueError: it is no graph of layers, or a layer's output is a part of the loss.
    """
    _require_graph(model)
    (images,), (logits,) = model.inputs, model.outputs
    segments = [_Segment(inputs, outputs, images) for inputs, outputs in _cut(model)]

    def forward(values: Any) -> Any:
        known = {id(images): values}
        for segment in segments:
            computed = segment([known[id(tensor)] for tensor in segment.inputs])
            known |= {id(tensor): value for tensor, value in zip(segment.outputs, computed, strict=True)}
        return known[id(logits)]

    return forward


class _Segment:
    """Consecutive layers of a graph: from the tensors that come in to those that are needed after them."""

    def __init__(self, inputs: Sequence[Any], outputs: Sequence[Any], images: Any):
        self.inputs = inputs
        self.outputs = outputs
        self._has_gradient = [tensor is not images and tensor.dtype.find("float") >= 0 for tensor in inputs]
        graph = _Graph(list(inputs), list(outputs))
        layers = [each for each in graph.operations if isinstance(each, keras.layers.Layer)]
        self._changing = [variable for layer in layers for variable in layer.non_trainable_variables]
        self._layers = _Layers(graph)

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        return list(self._run(*values))

    def _run(self, *values):
        changing = self._changing

        @tf.custom_gradient
        def run(*values):
            before = [tf.identity(variable.value) for variable in changing]
            outputs = tuple(self._layers(list(values), training=True))

            def backward(*upstream, variables=()):
                sources = [value for value, has in zip(values, self._has_gradient, strict=True) if has]
                sources = _only_after(upstream, sources)
                left = iter(sources)
                again = [next(left) if has else value for value, has in zip(values, self._has_gradient, strict=True)]
                # What layers assign stays in the scope, and what they read is what they have read the first time.
                with keras.StatelessScope(state_mapping=list(zip(changing, before, strict=True))):
                    with tf.GradientTape() as tape:
                        tape.watch(sources)
                        outputs = self._layers(again, training=True)
                    pairs = [
                        (each, given) for each, given in zip(outputs, upstream, strict=True) if each.dtype.is_floating
                    ]
                    gradients = tape.gradient(
                        [each for each, _ in pairs],
                        [*sources, *variables],
                        output_gradients=[given for _, given in pairs],
                    )
                left = iter(gradients[: len(sources)])
                of_values = [next(left) if has else None for has in self._has_gradient]
                return (of_values, gradients[len(sources) :]) if variables else of_values

            return outputs, backward

        return run(*values)


class _Layers(keras.layers.Layer):
    """Has the layers of a graph know that they are in training. They stay the model's own."""

    def __init__(self, graph: "_Graph"):
        super().__init__(autocast=False, name="segment")
        self._graph = graph
        self.built = True

    def call(self, values, training):
        return keras.tree.flatten(self._graph(values))


class _Graph(keras.Function):
    """Not a Model: that would make every layer appear in two graphs, and the model could not be saved then."""

    def call(self, inputs):
        return self._run_through_graph(inputs, operation_fn=_in_training)


def _in_training(operation):
    """Returns the operation as a model calls it in training: some were told that they are not when it was built."""
    takes_it = isinstance(operation, keras.layers.Layer) and "training" in inspect.signature(operation.call).parameters
    return functools.partial(_call_in_training, operation) if takes_it else operation


def _call_in_training(operation, *arguments, **options):
    return operation(*arguments, **options | {"training": True})


def _only_after(upstream, values):
    """Returns the values once all that comes from behind is there: nothing else keeps them from being used at once."""
    upstream = [each for each in upstream if each is not None and each.dtype.is_floating]
    with tf.control_dependencies(upstream):
        values = [tf.identity(value) for value in values]
    # XLA does not heed these. As tf.recompute_grad does: a zero that no compiler knows to be one.
    some = tf.cast(tf.add_n([tf.cast(tf.reshape(each, [-1])[0], tf.float32) for each in upstream]), tf.bool)
    zero = tf.where(tf.equal(some, some), 0.0, float("nan"))
    return [value + tf.cast(zero, value.dtype) for value in values]


def _cut(model: keras.Model) -> list[tuple[list[Any], list[Any]]]:
    """Returns the tensors that go into each segment and those that come out, as many segments as each has layers."""
    # The model's own calls of its layers: one that comes out of another model has been called there, too.
    by_depth = sorted(model._nodes_by_depth.items(), reverse=True)
    calls = [call for _, calls in by_depth for call in calls if not call.is_input]
    length = math.isqrt(len(calls))
    ends = [*range(length, len(calls), length), len(calls)]
    cuts, start = [], 0
    for end in ends:
        made = [tensor for call in calls[start:end] for tensor in call.output_tensors]
        is_made = {id(tensor) for tensor in made}
        used = {id(tensor): tensor for call in calls[start:end] for tensor in call.input_tensors}
        needed = {id(tensor) for call in calls[end:] for tensor in call.input_tensors}
        needed |= {id(tensor) for tensor in model.outputs}
        inputs = [tensor for key, tensor in used.items() if key not in is_made]
        cuts.append((inputs, [tensor for tensor in made if id(tensor) in needed]))
        start = end
    return cuts


def _require_graph(model):
    if not getattr(model, "operations", None) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"trainer.recompute=true needs a model that is a graph of layers, from images to logits. Received: "
            f"{type(model).__name__} '{model.name}'. Use trainer.recompute=false."
        )
    penalised = [each.name for each in model._flatten_layers() if getattr(each, "activity_regularizer", None)]
    if penalised:
        raise ValueError(
            f"trainer.recompute=true keeps no output of a layer, and {penalised[0]} has an activity_regularizer. "
            "Use trainer.recompute=false."
        )
