"""VGG16, its maps taken before each pooling."""

from typing import Annotated

import keras
from annotated_types import Ge

from segtrain.models.encoders.applications import build_application
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.freezing import Freeze


def build_vgg16(*, channels: Annotated[int, Ge(1)], weights: str | None = None, freeze: Freeze = "none") -> Encoder:
    """Builds the encoder from `keras.applications.VGG16`.

    See Simonyan, Zisserman 2014, https://arxiv.org/abs/1409.1556.

    Args:
        channels: channels of the image.
        weights: imagenet, null (random), or a file; see `segtrain.models.encoders.weights`.
        freeze: what training leaves as it is: none, all, batch_norm, or a number of stages from the image.

    Returns:
        Maps of strides 2 to 32 with 128, 256, 512, 512 and 512 channels; that of stride 32 is the last pooling.

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
    )
