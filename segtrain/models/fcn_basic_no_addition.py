"""FCN-Basic that adds none of the encoder's scores, from the SegNet paper's Table 1."""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.basic_network import build_deconvolving_network


def build_fcn_basic_no_addition(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 64,
    local_contrast: bool = True,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
) -> keras.Model:
    """Builds `build_fcn_basic` without the encoder's scores: what is learned is how to enlarge.

    Table 1's "FCN-Basic-NoAddition", 0.65 million parameters.

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
        "fcn_basic_no_addition",
        dimension_reduction=True,
        addition=False,
        num_classes=num_classes,
        channels=channels,
        width=width,
        local_contrast=local_contrast,
        batch_norm_momentum=batch_norm_momentum,
    )
