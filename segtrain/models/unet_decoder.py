"""The U-Net decoder, on any encoder."""

from collections.abc import Sequence

import keras
from keras import layers

from segtrain.layers import FusedBatchNormalization
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.logits_of_image import LogitsAt, logits_of_image


def build_unet_with(
    name: str,
    encoder: Encoder,
    *,
    num_classes: int,
    channels: int,
    widths: Sequence[int],
    batch_norm_momentum: float,
    logits_at: LogitsAt,
) -> keras.Model:
    """Builds a U-Net from an encoder: its maps are the skips.

    Each stage doubles the map by a transposed convolution 1x1 with ReLU and BatchNorm, joins the encoder's map of that
    size and convolves twice 3x3, each with ReLU and BatchNorm. Logits have the size of the encoder's largest map.

    Args:
        name: name of the model.
        encoder: the encoder.
        num_classes: number of logits per pixel.
        channels: channels of the image.
        widths: filters of each stage, the smallest map first; one less than the encoder has maps.
        batch_norm_momentum: share of the running statistics kept at each step.
        logits_at: whether they are brought to the size of the image, see `logits_of_image`.

    Raises:
        ValueError: `widths` are not so many as the encoder has maps to join.
    """
    *skips, deepest = encoder.strides
    if len(widths) != len(skips):
        raise ValueError(
            f"model.widths needs a number for each map that {encoder.model.name} has to join, {len(skips)}. "
            f"Received: {list(widths)}."
        )
    images = keras.Input((None, None, channels), name="image")
    *skips, x = encoder.model(images)
    for stage, (skip, width) in enumerate(zip(reversed(skips), widths, strict=True), 1):
        x = layers.Conv2DTranspose(width, 1, strides=2, activation="relu", name=f"decoder{stage}_upsample")(x)
        x = FusedBatchNormalization(momentum=batch_norm_momentum, name=f"decoder{stage}_upsample_norm")(x)
        x = layers.Concatenate(name=f"decoder{stage}_join")([x, skip])
        for number in (1, 2):
            x = layers.Conv2D(
                width,
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"decoder{stage}_conv{number}",
            )(x)
            x = FusedBatchNormalization(momentum=batch_norm_momentum, name=f"decoder{stage}_norm{number}")(x)
    x = layers.Conv2D(num_classes, 3, padding="same", dtype="float32", name="classes")(x)
    logits = logits_of_image(x, images, times=encoder.strides[0], logits_at=logits_at)
    return keras.Model(images, logits, name=name)
