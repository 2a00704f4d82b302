"""FCN-16s: scores of the last two poolings, 16 times as large."""

from collections.abc import Callable
from typing import Annotated

import keras
from annotated_types import Ge

from segtrain.models.encoders.encoder import Encoder
from segtrain.models.fcn import build_fcn


def build_fcn16s(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    encoder: Callable[..., Encoder],
    trainable_upsampling: bool = True,
) -> keras.Model:
    """Builds a fully convolutional network that scores the last two poolings and enlarges their sum 16 times.

    See Long, Shelhamer, Darrell 2015, https://arxiv.org/abs/1411.4038. On VGG16 without its fully connected part, as
    in the public reproduction on VOC2012.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        encoder: builder of the encoder, which is told the channels: VGG16's poolings unless another is named.
        trainable_upsampling: whether the transposed convolutions learn, or stay bilinear interpolation.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`; any height and width.

    Raises:
        ValueError: the encoder's weights cannot be had.
    """
    return build_fcn(
        "fcn16s",
        encoder(channels=channels),
        strides=(16, 32),
        num_classes=num_classes,
        channels=channels,
        trainable_upsampling=trainable_upsampling,
    )
