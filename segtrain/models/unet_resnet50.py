"""U-Net on ResNet50, as in the public comparison of pre-trained and random encoders on Oxford-IIIT Pet."""

from collections.abc import Callable
from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.encoders.encoder import Encoder
from segtrain.models.logits_of_image import LogitsAt
from segtrain.models.unet_decoder import build_unet_with

WIDTHS = (1024, 512, 256, 64)


def build_unet_resnet50(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    encoder: Callable[..., Encoder],
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
    logits_at: LogitsAt = "input",
) -> keras.Model:
    """Builds a U-Net whose decoder mirrors ResNet50: stages of 1024, 512, 256 and 64 filters.

    See Ronneberger, Fischer, Brox 2015, https://arxiv.org/abs/1505.04597, for the U, and `build_unet_with` for the
    stages, which are those of the comparison. It predicts at half the size.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        encoder: builder of the encoder, which is told the channels: ResNet50 unless another is named.
        batch_norm_momentum: share of the decoder's running statistics kept at each step.
        logits_at: `input` interpolates the logits at the size of the image; `native` leaves them at half of it.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`, interpolated from half the size; any height and width.

    Raises:
        ValueError: the encoder's weights cannot be had, or it has other than five maps.
    """
    return build_unet_with(
        "unet_resnet50",
        encoder(channels=channels),
        num_classes=num_classes,
        channels=channels,
        widths=WIDTHS,
        batch_norm_momentum=batch_norm_momentum,
        logits_at=logits_at,
    )
