"""The plain encoder-decoder that SegNet is measured against: the same network, up-sampled without indices."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.layers import BilinearUpSampling2D
from segtrain.models.mirrored_network import build_mirrored_network, vgg16_stages


def build_encoder_decoder(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 64,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
    weights: str | None = None,
    upsampling: Literal["nearest", "bilinear"] = "nearest",
) -> keras.Model:
    """Builds `build_segnet` with plain up-sampling in place of unpooling: equal widths, parameters and initial weights.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        width: filters of the first stage; the deepest have eight times as many.
        dropout: share of values dropped before the decoder.
        batch_norm_momentum: share of the running statistics kept at each step.
        weights: what the encoder's 13 convolutions begin with: imagenet, null (random), or a file, as `build_vgg16`
            takes them. With VGG16's, images are scaled as these expect, and `width` has to be 64.
        upsampling: how a map is doubled.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`; any height and width of at least 32.

    Raises:
        ValueError: the weights cannot be had, or do not fit.
    """
    return build_mirrored_network(
        "encoder_decoder",
        stages=vgg16_stages(width),
        num_classes=num_classes,
        channels=channels,
        dropout=dropout,
        batch_norm_momentum=batch_norm_momentum,
        weights=weights,
        pool=max_pool,
        upsample=plain_upsampling(upsampling),
    )


def max_pool(features: Any, name: str) -> tuple[Any, None]:
    """Halves a map (odd sizes are rounded up) and keeps nothing."""
    return keras.layers.MaxPooling2D(2, padding="same", name=name)(features), None


def plain_upsampling(interpolation: str) -> Callable[[Any, None, str], Any]:
    """Returns the function that doubles a map by `interpolation`."""

    def upsample(features: Any, memory: None, name: str) -> Any:
        if interpolation == "bilinear":
            return BilinearUpSampling2D(2, name=name)(features)
        return keras.layers.UpSampling2D(2, name=name)(features)

    return upsample
