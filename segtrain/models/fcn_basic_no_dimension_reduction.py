"""FCN-Basic that enlarges all of the encoder's maps, from the SegNet paper's Table 1."""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.basic_network import build_deconvolving_network


def build_fcn_basic_no_dimension_reduction(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 64,
    local_contrast: bool = True,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
) -> keras.Model:
    """Builds `build_fcn_basic` without the reduction to one map a class: classes are scored at the end.

    Table 1's "FCN-Basic-NoDimReduction". Encoder and scores of 0.613 million parameters and four kernels of
    8 * 8 * 64 * 64 make 1.66 million. The paper says 1.625, which is their sum where each of the five is rounded to a
    fortieth of a million first, as its other figures are.

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
    return build_deconvolving_network(
        "fcn_basic_no_dimension_reduction",
        dimension_reduction=False,
        addition=True,
        num_classes=num_classes,
        channels=channels,
        width=width,
        local_contrast=local_contrast,
        batch_norm_momentum=batch_norm_momentum,
    )
