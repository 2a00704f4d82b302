"""U-Net of unpadded convolutions on the way down and transposed ones on the way up: its skips need no cropping."""

from typing import Annotated, Any

import keras
from annotated_types import Ge, Gt, Lt
from keras import layers

from segtrain.layers import CropToReference2D, FusedBatchNormalization, PadToMultiple2D


def build_unet(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    width: Annotated[int, Ge(1)] = 64,
    batch_norm: bool = False,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
) -> keras.Model:
    """Builds a U-Net of three poolings whose maps fit together without cropping.

    An unpadded 3x3 convolution takes a pixel from each side and an unpadded transposed one gives it back, so for
    images of 128 pixels the maps are 128, 124, 60, 26, 11, 26, 60, 124 and 128 pixels wide. Sizes that do not come out
    even are padded below and on the right by repeating the border, to a multiple of 8 from 48 on; logits are cropped.
    5,460,163 parameters with 3 classes and 3 channels. After Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        width: filters of the first stage; the deepest have eight times as many.
        batch_norm: normalise after each convolution, before its ReLU.
        batch_norm_momentum: share of the running statistics kept at each step.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`; any height and width.
    """

    def convolve(x: Any, layer: type, filters: int, padding: str, name: str) -> Any:
        # Keras takes a transposed kernel's outputs for its inputs: by "fan_out" this is "he_normal".
        inputs = "fan_out" if layer is layers.Conv2DTranspose else "fan_in"
        initializer = keras.initializers.VarianceScaling(2.0, inputs)
        x = layer(filters, 3, padding=padding, kernel_initializer=initializer, name=name)(x)
        if batch_norm:
            x = FusedBatchNormalization(momentum=batch_norm_momentum, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    def down(x: Any, filters: int, paddings: tuple[str, ...], name: str) -> Any:
        for number, padding in enumerate(paddings, 1):
            x = convolve(x, layers.Conv2D, filters, padding, f"{name}_conv{number}")
        return x

    def up(x: Any, filters: tuple[int, ...], paddings: tuple[str, ...], name: str) -> Any:
        for number, (width, padding) in enumerate(zip(filters, paddings, strict=True), 1):
            x = convolve(x, layers.Conv2DTranspose, width, padding, f"{name}_deconv{number}")
        return x

    def join(x: Any, skip: Any, level: int) -> Any:
        x = layers.UpSampling2D(2, name=f"upsample{level}")(x)
        return layers.Concatenate(name=f"join{level}")([x, skip])

    f = width
    images = keras.Input((None, None, channels), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    x = PadToMultiple2D(8, smallest=48, name="pad")(x)

    # The middle stages have one padded convolution: that is what makes the sizes fit.
    skip1 = down(x, f, ("valid", "valid"), "encoder1")
    skip2 = down(layers.MaxPooling2D(2, name="pool1")(skip1), 2 * f, ("valid", "same"), "encoder2")
    skip3 = down(layers.MaxPooling2D(2, name="pool2")(skip2), 4 * f, ("valid", "valid"), "encoder3")
    x = down(layers.MaxPooling2D(2, name="pool3")(skip3), 8 * f, ("valid",), "bottom")

    x = up(x, (4 * f,), ("valid",), "bottom")
    x = up(join(x, skip3, 3), (4 * f, 2 * f), ("valid", "valid"), "decoder3")
    x = up(join(x, skip2, 2), (2 * f, f), ("same", "valid"), "decoder2")
    x = up(join(x, skip1, 1), (f, f), ("valid", "valid"), "decoder1")

    # Logits stay float32 whatever the precision of the network: the softmax of a half-precision logit is too coarse.
    logits = layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
    logits = CropToReference2D(dtype="float32", name="crop")(logits, images)
    return keras.Model(images, logits, name="unet")
