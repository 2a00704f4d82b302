"""MobileNetV2."""

from typing import Annotated, Literal

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.encoders.applications import build_application
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.freezing import Freeze


def build_mobilenet_v2(
    *,
    channels: Annotated[int, Ge(1)],
    weights: str | None = None,
    freeze: Freeze = "none",
    alpha: Literal[0.35, 0.5, 0.75, 1.0, 1.3, 1.4] = 1.0,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
) -> Encoder:
    """Builds the encoder from `keras.applications.MobileNetV2`.

    See Sandler et al. 2018, https://arxiv.org/abs/1801.04381.

    Args:
        channels: channels of the image.
        weights: imagenet, null (random), or a file; see `segtrain.models.encoders.weights`.
        freeze: what training leaves as it is: none, all, batch_norm, or a number of stages from the image.
        alpha: width of the layers; there are ImageNet weights for each of these.
        batch_norm_momentum: share of the running statistics kept at each step; see `build_application`.

    Returns:
        Maps of strides 2 to 32 with 96, 144, 192, 576 and 1280 channels at alpha 1; all but the last are the wide inner
        maps of the blocks that halve.

    Raises:
        ValueError: the weights cannot be had or are of another network.
    """
    return build_application(
        "mobilenet_v2",
        keras.applications.MobileNetV2,
        channels=channels,
        weights=weights,
        freeze=freeze,
        preprocessing="tf",
        batch_norm_momentum=batch_norm_momentum,
        alpha=alpha,
    )
