"""U-Net on any encoder."""

from collections.abc import Callable, Sequence
from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt, MinLen

from segtrain.models.encoders.encoder import Encoder
from segtrain.models.logits_of_image import LogitsAt
from segtrain.models.unet_decoder import build_unet_with


def build_unet_on_encoder(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    encoder: Callable[..., Encoder],
    widths: Annotated[Sequence[Annotated[int, Ge(1)]], MinLen(1)] = (256, 128, 64, 32),
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
    logits_at: LogitsAt = "input",
) -> keras.Model:
    """Builds a U-Net whose contracting half is a known network: a segmenter to start from with images of one's own.

    See Ronneberger, Fischer, Brox 2015, https://arxiv.org/abs/1505.04597, for the U, and `build_unet_with` for the
    stages of the decoder. It predicts at the size of the encoder's largest map.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        encoder: builder of the encoder, which is told the channels.
        widths: filters of each stage of the decoder, the smallest map first; one less than the encoder has maps.
        batch_norm_momentum: share of the decoder's running statistics kept at each step.
        logits_at: `input` interpolates the logits at the size of the image; `native` leaves them at that of the
            encoder's largest map.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`; any height and width.

    Raises:
        ValueError: the encoder's weights cannot be had, or `widths` do not fit it.
    """
    return build_unet_with(
        "unet_on_encoder",
        encoder(channels=channels),
        num_classes=num_classes,
        channels=channels,
        widths=widths,
        batch_norm_momentum=batch_norm_momentum,
        logits_at=logits_at,
    )
