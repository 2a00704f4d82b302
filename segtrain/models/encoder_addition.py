"""SegNet-Basic that also adds the encoder's maps in its decoder, from the SegNet paper's Table 1."""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.basic_network import build_unpooling_network


def build_encoder_addition(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 64,
    local_contrast: bool = True,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
) -> keras.Model:
    """Builds `build_segnet_basic` with each level's encoder maps added to its decoder's.

    Table 1's "SegNet-Basic-EncoderAddition", 1.425 million parameters: the indices and all the maps are kept. By
    section 3.1 the 64 maps "at each layer of the encoder" are added to those of "the corresponding" decoder. Here they
    are what the level's pooling sees, after its ReLU: there are four, one of each decoder's size, where the poolings'
    outputs, which Fig. 3 names for the FCN, would leave one decoder without. They are added after the decoder's
    normalisation, which the paper leaves open.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        width: maps of every layer of the encoder and the decoders. The paper's is 64.
        local_contrast: normalise the image's local contrast, as the paper does; else it is scaled to 0..1.
        batch_norm_momentum: share of the running statistics kept at each step.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`; any height and width of at least 16.
    """
    return build_unpooling_network(
        "encoder_addition",
        single_channel=False,
        encoder_addition=True,
        num_classes=num_classes,
        channels=channels,
        width=width,
        local_contrast=local_contrast,
        batch_norm_momentum=batch_norm_momentum,
    )
