"""Finds the feature maps of a network at each of its sizes."""

from typing import Any

import keras
from keras import layers


def maps_by_stride(model: keras.Model) -> dict[int, Any]:
    """Returns the last map before each halving, and the last of all, by stride; maps of the images' size are left out.

    Found by the strides of layers, since some families number their layers on from model to model.
    """
    strides, maps = strides_of(model), {}
    made_by = {id(operation.output): (number, operation) for number, operation in enumerate(model.operations)}
    halved = [operation for operation in model.operations if step_of(operation) > 1]
    for source in [*(operation.input for operation in halved), model.outputs[0]]:
        number, operation = made_by[id(source)]
        if isinstance(operation, layers.ZeroPadding2D):
            source = operation.input
        stride = strides[id(source)]
        # A block may halve twice side by side; what was computed last knows most.
        if stride > 1 and (stride not in maps or number > maps[stride][0]):
            maps[stride] = number, source
    return {stride: maps[stride][1] for stride in sorted(maps)}


def strides_of(model: keras.Model) -> dict[int, int]:
    """Returns how many pixels of the image a pixel of each tensor stands for, by the tensor's id."""
    strides = {id(model.inputs[0]): 1}
    for operation in model.operations:
        before = max((strides[id(each)] for each in keras.tree.flatten(operation.input)), default=1)
        for output in keras.tree.flatten(operation.output):
            strides[id(output)] = before * step_of(operation)
    return strides


def step_of(operation: Any) -> int:
    """Returns by how much a layer makes a map smaller: its stride, or those of the layers in it."""
    if isinstance(operation, keras.Sequential):
        return max(step_of(layer) for layer in operation.layers)
    strides = getattr(operation, "strides", 1)
    return strides if isinstance(strides, int) else strides[0]
