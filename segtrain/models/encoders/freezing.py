"""What training leaves as it is."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Le
from keras import layers

from segtrain.models.encoders.encoder import Encoder

# Nothing, everything, BatchNorm alone, or so many stages from the image.
Freeze = Literal["none", "all", "batch_norm"] | Annotated[int, Ge(1), Le(5)]


def freeze_encoder(encoder: Encoder, freeze: Freeze) -> None:
    """Has training leave a part of an encoder as it is: kernels, and the running statistics of BatchNorm.

    Raises:
        ValueError: there is no BatchNorm, or there are fewer stages.
    """
    model = encoder.model
    if freeze == "all":
        model.trainable = False
    elif freeze == "batch_norm":
        norms = [layer for layer in _innermost(model.layers) if isinstance(layer, layers.BatchNormalization)]
        if not norms:
            raise ValueError(
                f"model.encoder.freeze=batch_norm: {model.name} has no BatchNorm. Type none, all or a number of stages."
            )
        for layer in norms:
            layer.trainable = False
    elif freeze != "none":
        if freeze > len(encoder.strides):
            raise ValueError(
                f"model.encoder.freeze={freeze}: {model.name} has {len(encoder.strides)} stages. "
                f"Type a number up to that, none, all or batch_norm."
            )
        for layer in keras.Model(model.inputs[0], model.outputs[freeze - 1]).layers:
            layer.trainable = False


def count_frozen(model: keras.Model) -> int:
    """Returns how many parameters are in layers that training leaves as they are."""
    return sum(layer.count_params() for layer in _innermost(model.layers) if not layer.trainable)


def _innermost(outer: Iterable[Any]) -> Iterator[Any]:
    for layer in outer:
        if hasattr(layer, "layers"):
            yield from _innermost(layer.layers)
        else:
            yield layer
