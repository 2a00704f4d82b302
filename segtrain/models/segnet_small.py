"""SegNet at a size that trains on small images and on a CPU."""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.mirrored_network import build_mirrored_network, small_stages
from segtrain.models.segnet import pool_with_indices, unpool


def build_segnet_small(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 16,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
) -> keras.Model:
    """Builds a SegNet of four poolings, the twin of `build_encoder_decoder_small`.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        width: filters of the first stage; the deepest have eight times as many. 32 in the public comparison whose
            scale this is (4,481,846 parameters with 22 classes).
        dropout: share of values dropped before the decoder.
        batch_norm_momentum: share of the running statistics kept at each step.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`; any height and width of at least 16.
    """
    return build_mirrored_network(
        "segnet_small",
        stages=small_stages(width),
        num_classes=num_classes,
        channels=channels,
        dropout=dropout,
        batch_norm_momentum=batch_norm_momentum,
        pool=pool_with_indices,
        upsample=unpool,
    )
