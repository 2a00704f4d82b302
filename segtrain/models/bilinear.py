"""The network of the SegNet paper's Table 1 that learns no decoder: it interpolates."""

from typing import Annotated

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.models.basic_network import build_interpolating_network


def build_bilinear(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 64,
    local_contrast: bool = True,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
) -> keras.Model:
    """Builds SegNet-Basic's encoder, whose scores are enlarged sixteen times bilinearly.

    Table 1's "Bilinear interpolation", 0.625 million parameters. The paper leaves open where classes are scored: here
    before the interpolation, which gives what scoring after it would give, at a 256th of the cost.

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
    return build_interpolating_network(
        "bilinear",
        num_classes=num_classes,
        channels=channels,
        width=width,
        local_contrast=local_contrast,
        batch_norm_momentum=batch_norm_momentum,
    )
