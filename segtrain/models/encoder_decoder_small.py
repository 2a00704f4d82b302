"""The plain encoder-decoder at a size that trains on small images and on a CPU."""

from typing import Annotated, Literal

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.encoder_decoder import max_pool, plain_upsampling
from segtrain.models.mirrored_network import build_mirrored_network, small_stages


def build_encoder_decoder_small(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 16,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
    upsampling: Literal["nearest", "bilinear"] = "nearest",
    wide_third_decoder: bool = False,
) -> keras.Model:
    """Builds `build_segnet_small` with plain up-sampling in place of unpooling.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        width: filters of the first stage; the deepest have eight times as many.
        dropout: share of values dropped before the decoder.
        batch_norm_momentum: share of the running statistics kept at each step.
        upsampling: how a map is doubled.
        wide_third_decoder: twice the filters in the decoder's third stage, as the public comparison's plain network has
            (4,537,462 parameters with width 32 and 22 classes). Equal to its twin in parameters only without.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`; any height and width of at least 16.
    """
    return build_mirrored_network(
        "encoder_decoder_small",
        stages=small_stages(width, wide_third_decoder=wide_third_decoder),
        num_classes=num_classes,
        channels=channels,
        dropout=dropout,
        batch_norm_momentum=batch_norm_momentum,
        pool=max_pool,
        upsample=plain_upsampling(upsampling),
    )
