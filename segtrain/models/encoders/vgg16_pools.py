"""VGG16, its maps taken after each pooling: what FCN reads."""

from typing import Annotated

import keras
from annotated_types import Ge

from segtrain.models.encoders.applications import build_application
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.freezing import Freeze


def build_vgg16_pools(
    *, channels: Annotated[int, Ge(1)], weights: str | None = None, freeze: Freeze = "none"
) -> Encoder:
    """Builds `build_vgg16` with the output of each pooling for maps, as Long, Shelhamer and Darrell read them.

    See https://arxiv.org/abs/1411.4038, figure 3.

    Args:
        channels: channels of the image.
        weights: imagenet, null (random), or a file; see `segtrain.models.encoders.weights`.
        freeze: what training leaves as it is: none, all, batch_norm, or a number of stages from the image.

    Returns:
        Maps of strides 2 to 32 with 64, 128, 256, 512 and 512 channels.

    Raises:
        ValueError: the weights cannot be had or are of another network.
    """
    return build_application(
        "vgg16",
        keras.applications.VGG16,
        channels=channels,
        weights=weights,
        freeze=freeze,
        preprocessing="caffe",
        map_layers=[f"block{stage}_pool" for stage in range(1, 6)],
    )
