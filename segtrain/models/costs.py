"""What a network costs, stage by stage, for images of one size."""

import math
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf


@dataclass
class Stage:
    """The layers of a network that work at one resolution, on the way down, at the bottom or on the way up.

    Attributes:
        name: such as `down 1/4`: the way, and the resolution as a share of the image's.
        output_size: `(height, width, channels)` of the last map in it.
        layers: names, in the order in which they are called.
        parameters: of all its layers.
        flops: floating-point operations of its convolutions and dense layers for one image, a multiply-add counted as
            two. What else there is (normalisation, activations, pooling) is of the order of a hundredth of them.
        activation_bytes: of all that its layers emit for one image. A training step holds about that many for each
            image of the batch; what the backend computes in one go, it holds once.
    """

    name: str
    output_size: tuple[int, ...] = ()
    layers: list[str] = field(default_factory=list)
    parameters: int = 0
    flops: int = 0
    activation_bytes: int = 0


@dataclass(frozen=True)
class _Place:
    """Where a tensor comes from: how many halvings below the image, and of what a global pooling has made of maps."""

    level: int
    is_global: bool = False


def stage_costs(model: keras.Model, image_size: tuple[int, int]) -> list[Stage]:
    """Returns the stages of a network in the order of its layers.

    Args:
        model: from images `(batch, height, width, channels)`; height and width may be free.
        image_size: `(height, width)` of the images, pixels.
    """
    calls = _calls_for(model, image_size)
    # By id, since symbolic tensors are not compared; `calls` keeps them alive.
    places: dict[int, _Place] = {}
    for layer, inputs, outputs in calls:
        place = _place_of(layer, inputs, outputs[0], places)
        places |= {id(output): place for output in outputs}
    lowest = max(place.level for place in places.values() if not place.is_global)

    stages: dict[str, Stage] = {}
    from_bottom: set[int] = set()
    counted: set[int] = set()
    for layer, inputs, outputs in calls:
        level = places[id(outputs[0])].level
        if level == lowest or any(id(each) in from_bottom for each in inputs):
            from_bottom |= {id(output) for output in outputs}
        way = "bottom" if level == lowest else "up" if id(outputs[0]) in from_bottom else "down"
        stage = stages.setdefault(f"{way} 1/{2**level}", Stage(f"{way} 1/{2**level}"))
        stage.layers.append(layer.name)
        # A rim that is added for the next stage's convolution is not what the stage is about.
        if not places[id(outputs[0])].is_global and "ZeroPadding" not in type(layer).__name__:
            stage.output_size = tuple(outputs[0].shape[1:])
        stage.flops += _flops(layer, inputs[0], outputs[0])
        stage.activation_bytes += sum(_size(each.shape[1:]) * tf.as_dtype(each.dtype).size for each in outputs)
        if id(layer) not in counted:  # a layer that is called twice has its weights once
            stage.parameters += sum(_size(weight.shape) for weight in _weights(layer))
            counted.add(id(layer))
    return list(stages.values())


def _calls_for(model: keras.Model, image_size: tuple[int, int]) -> list[tuple[Any, list, list]]:
    """Returns each layer with the symbolic tensors that it takes and emits, where images have that size.

    Of a model inside the model, its layers.
    """
    calls, emitted = [], {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            keras.models.clone_model(layer, args[0], clone_function=_itself, call_function=call)
            ends = [emitted[id(end._keras_history.operation)] for end in layer.outputs]
            ends = [each[end._keras_history.tensor_index] for each, end in zip(ends, layer.outputs, strict=True)]
            return keras.tree.pack_sequence_as(layer.output, ends)
        outputs = layer(*args, **kwargs)
        inputs = [each for each in keras.tree.flatten((args, kwargs)) if isinstance(each, keras.KerasTensor)]
        emitted[id(layer)] = keras.tree.flatten(outputs)
        calls.append((layer, inputs, emitted[id(layer)]))
        return outputs

    images = keras.Input((*image_size, model.input_shape[-1]), dtype=model.input.dtype)
    keras.models.clone_model(model, images, clone_function=_itself, call_function=call)
    return calls


def _itself(layer: Any) -> Any:
    return layer


def _place_of(layer: Any, inputs: list, output: Any, places: dict[int, _Place]) -> _Place:
    """Returns where an output comes from, given where the inputs do; the image's place is level 0.

    Only what about halves or doubles a map changes the level: an unpadded convolution takes off a rim. Of several
    inputs the one of the nearest size tells (what a map is added to).
    """
    known = [(each, places.get(id(each), _Place(0))) for each in inputs]
    maps = [(each, place) for each, place in known if len(each.shape) == 4 and not place.is_global]
    is_map = len(output.shape) == 4
    if "Global" in type(layer).__name__ or not is_map or not maps:
        return _Place(max(place.level for _, place in known), is_global=True)
    if "Crop" in type(layer).__name__:
        return maps[0][1]  # of what is cut, however much is taken off
    halvings, level = min(
        ((math.log2(_area(each) / _area(output)) / 2, place.level) for each, place in maps),
        key=lambda pair: abs(pair[0]),
    )
    keeps_level = set(np.ravel(getattr(layer, "strides", 0))) == {1}  # however small the map it takes a rim from
    return _Place(max(0, level + (0 if keeps_level else round(halvings))))


def _flops(layer: Any, taken: Any, emitted: Any) -> int:
    """Returns twice the multiply-adds of a layer's kernels, each of which is applied once a position.

    A transposed convolution applies its kernel to each position that it takes, any other layer for each that it emits.
    """
    positions = taken if "Transpose" in type(layer).__name__ else emitted
    kernels = sum(_size(weight.shape) for weight in _weights(layer) if weight.name.endswith("kernel"))
    return 2 * kernels * _size(positions.shape[1:-1])


def _weights(layer: Any) -> list:
    """Returns a layer's weights; an operation of `keras.ops` has none."""
    return layer.weights if isinstance(layer, keras.Layer) else []


def _area(tensor: Any) -> int:
    return tensor.shape[1] * tensor.shape[2]


def _size(shape: tuple[int, ...]) -> int:
    return math.prod(shape)
