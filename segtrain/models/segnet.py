"""SegNet: an encoder-decoder that up-samples by pooling indices."""

from typing import Annotated, Any

import keras
from annotated_types import Ge, Gt, Lt

from segtrain.layers import MaxPoolWithIndices2D, MaxUnpool2D
from segtrain.models.mirrored_network import build_mirrored_network, vgg16_stages


def build_segnet(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 64,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
    weights: str | None = None,
) -> keras.Model:
    """Builds the paper's SegNet: 13 + 13 convolutions, five poolings whose indices the decoder reuses.

    See Badrinarayanan, Kendall, Cipolla 2015, https://arxiv.org/abs/1511.00561.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        width: filters of the first stage; the deepest have eight times as many. The paper's is 64.
        dropout: share of values dropped before the decoder. The paper's SegNet has none.
        batch_norm_momentum: share of the running statistics kept at each step.
        weights: what the encoder's 13 convolutions begin with: imagenet, null (random), or a file, as `build_vgg16`
            takes them. With VGG16's, images are scaled as these expect, and `width` has to be 64.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`; any height and width of at least 32.

    Raises:
        ValueError: the weights cannot be had, or do not fit.
    """
    return build_mirrored_network(
        "segnet",
        stages=vgg16_stages(width),
        num_classes=num_classes,
        channels=channels,
        dropout=dropout,
        batch_norm_momentum=batch_norm_momentum,
        weights=weights,
        pool=pool_with_indices,
        upsample=unpool,
    )


def pool_with_indices(features: Any, name: str) -> tuple[Any, Any]:
    """Halves a map and keeps the indices of its maxima."""
    return MaxPoolWithIndices2D(name=name)(features)


def unpool(features: Any, indices: Any, name: str) -> Any:
    """Doubles a map by putting its values back at the indices."""
    return MaxUnpool2D(name=name)(features, indices)
