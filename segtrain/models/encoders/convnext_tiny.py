"""ConvNeXt, the tiny one."""

from typing import Annotated

import keras
from annotated_types import Ge

from segtrain.models.encoders.applications import build_application
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.freezing import Freeze


def build_convnext_tiny(
    *, channels: Annotated[int, Ge(1)], weights: str | None = None, freeze: Freeze = "none"
) -> Encoder:
    """Builds the encoder from `keras.applications.ConvNeXtTiny`.

    See Liu et al. 2022, https://arxiv.org/abs/2201.03545.

    Args:
        channels: channels of the image.
        weights: imagenet, null (random), or a file; see `segtrain.models.encoders.weights`.
        freeze: what training leaves as it is: none, all, batch_norm, or a number of stages from the image.

    Returns:
        Maps of strides 4 to 32 with 96, 192, 384 and 768 channels: its stem makes a quarter at once, so there is none
        of stride 2.

    Raises:
        ValueError: the weights cannot be had or are of another network.
    """
    return build_application(
        "convnext_tiny",
        keras.applications.ConvNeXtTiny,
        channels=channels,
        weights=weights,
        freeze=freeze,
        preprocessing="torch",
        include_preprocessing=False,
    )
