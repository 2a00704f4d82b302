"""FCN-Basic: SegNet-Basic's encoder with the decoder of an FCN, from the SegNet paper's Table 1."""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.basic_network import build_deconvolving_network


def build_fcn_basic(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 64,
    local_contrast: bool = True,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
) -> keras.Model:
    """Builds SegNet-Basic's encoder, and four decoders that enlarge the scores and add those of the encoder's maps.

    Table 1's "FCN-Basic", 0.65 million parameters. Scoring reduces 64 maps to one a class; a transposed 8x8
    convolution, bilinear at first, doubles them. To the decoders 4, 3 and 2 the scores of the poolings 3, 2 and 1 are
    added, which are of their size: Fig. 3 says that what is added is the output of a pooling. The paper leaves open
    where its FCNs normalise: here after each transposed convolution, as SegNet-Basic after each convolution. Without,
    they diverge at the paper's learning rate.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        width: maps of every layer of the encoder. The paper's is 64.
        local_contrast: normalise the image's local contrast, as the paper does; else it is scaled to 0..1.
        batch_norm_momentum: share of the running statistics kept at each step.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`; any height and width of at least 16.
    """
    return build_deconvolving_network(
        "fcn_basic",
        dimension_reduction=True,
        addition=True,
        num_classes=num_classes,
        channels=channels,
        width=width,
        local_contrast=local_contrast,
        batch_norm_momentum=batch_norm_momentum,
    )
