"""SegNet's decoder on ResNet50 as first published: plain up-sampling, no indices."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import keras
from annotated_types import Ge, Gt, Lt
from keras import layers

from segtrain.layers import FusedBatchNormalization
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.logits_of_image import LogitsAt, logits_of_image

WIDTHS = (512, 256, 128, 64)


def build_segnet_resnet50(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    encoder: Callable[..., Encoder],
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
    logits_at: LogitsAt = "input",
) -> keras.Model:
    """Builds the public write-up's network: the encoder's map of stride 16, doubled three times.

    Convolutions 3x3 of 512, 256, 128 and 64 filters, each with BatchNorm, without activations as published, repeat each
    pixel twice between them. It predicts at half the size. The decoder is SegNet's in shape alone; that with the
    pooling indices is `build_segnet_resnet50_indices`.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        encoder: builder of the encoder, which is told the channels: ResNet50, less its last stage, unless another is
            named.
        batch_norm_momentum: share of the decoder's running statistics kept at each step.
        logits_at: `input` interpolates the logits at the size of the image; `native` leaves them at half of it.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`, interpolated from half the size; any height and width.

    Raises:
        ValueError: the encoder's weights cannot be had.
    """
    images = keras.Input((None, None, channels), name="image")
    (features,) = encoder(channels=channels).reading(16).model(images)
    upsamplings = [layers.UpSampling2D(2, name=f"upsample{number}") for number in (1, 2, 3)]
    logits = decode(features, WIDTHS, upsamplings, num_classes=num_classes, batch_norm_momentum=batch_norm_momentum)
    return keras.Model(images, logits_of_image(logits, images, times=2, logits_at=logits_at), name="segnet_resnet50")


def decode(
    x: Any,
    widths: Sequence[int],
    upsamplings: Sequence[Callable[[Any], Any]],
    *,
    num_classes: int,
    batch_norm_momentum: float,
) -> Any:
    """Convolves and doubles in turn, and scores the classes.

    Args:
        x: features `(batch, height, width, any)`.
        widths: filters of the convolutions.
        upsamplings: what doubles a map, one less than widths.
        num_classes: number of logits per pixel.
        batch_norm_momentum: share of the running statistics kept at each step.

    Returns:
        Float32 logits `(batch, 8 * height, 8 * width, num_classes)` where there are three upsamplings.
    """
    for number, (width, upsample) in enumerate(zip(widths, [*upsamplings, None], strict=True), 1):
        x = layers.Conv2D(width, 3, padding="same", name=f"decoder{number}_conv")(x)
        x = FusedBatchNormalization(momentum=batch_norm_momentum, name=f"decoder{number}_norm")(x)
        x = upsample(x) if upsample else x
    return layers.Conv2D(num_classes, 3, padding="same", dtype="float32", name="classes")(x)
