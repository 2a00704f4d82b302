"""ResNet of 50 layers, normalised before each convolution."""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.encoders.applications import build_application
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.freezing import Freeze


def build_resnet50_v2(
    *,
    channels: Annotated[int, Ge(1)],
    weights: str | None = None,
    freeze: Freeze = "none",
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
) -> Encoder:
    """Builds the encoder from `keras.applications.ResNet50V2`.

    See He et al. 2016, https://arxiv.org/abs/1603.05027.

    Args:
        channels: channels of the image.
        weights: imagenet, null (random), or a file; see `segtrain.models.encoders.weights`.
        freeze: what training leaves as it is: none, all, batch_norm, or a number of stages from the image.
        batch_norm_momentum: share of the running statistics kept at each step; see `build_application`.

    Returns:
        Maps of strides 2 to 32 with 64, 64, 128, 256 and 2048 channels: the inner map of the block that halves, and
        the last of all.

    Raises:
        ValueError: the weights cannot be had or are of another network.
    """
    return build_application(
        "resnet50_v2",
        keras.applications.ResNet50V2,
        channels=channels,
        weights=weights,
        freeze=freeze,
        preprocessing="tf",
        batch_norm_momentum=batch_norm_momentum,
    )
