"""SegNet's decoder on ResNet50 with its indices: max pooling takes the place of each stride that is unpooled."""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import keras
from annotated_types import Ge, Gt, Lt
from keras import layers

from segtrain.layers import MaxPoolWithIndices2D, MaxUnpool2D
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.maps import step_of
from segtrain.models.logits_of_image import LogitsAt, logits_of_image
from segtrain.models.segnet_resnet50 import decode

# An unpooling puts values back to the channels they were pooled from: 512, 256 and, of the stem, 64.
WIDTHS = (512, 256, 64, 64)


def build_segnet_resnet50_indices(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    encoder: Callable[..., Encoder],
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
    logits_at: LogitsAt = "input",
) -> keras.Model:
    """Builds `build_segnet_resnet50` with unpooling in place of plain up-sampling.

    A strided convolution has no maxima, so each halving after the stem's convolution becomes a 2x2 max pooling of the
    stage's input, and the stage goes on with stride 1. Kernels keep their shapes, so weights of ResNet50 fit. The third
    convolution of the decoder has 64 filters here, not 128: as many channels as the stem's pooling.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        encoder: builder of the encoder, which is told the channels: ResNet50, less its last stage.
        batch_norm_momentum: share of the decoder's running statistics kept at each step.
        logits_at: `input` interpolates the logits at the size of the image; `native` leaves them at half of it.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`, interpolated from half the size; any height and width.

    Raises:
        ValueError: the encoder is no ResNet, or its weights cannot be had.
    """
    images = keras.Input((None, None, channels), name="image")
    features, *indices = pooled_with_indices(encoder(channels=channels).reading(16))(images)
    unpoolings = [
        functools.partial(_unpool, indices=each, name=f"unpool{number}")
        for number, each in enumerate(reversed(indices), 1)
    ]
    logits = decode(features, WIDTHS, unpoolings, num_classes=num_classes, batch_norm_momentum=batch_norm_momentum)
    logits = logits_of_image(logits, images, times=2, logits_at=logits_at)
    return keras.Model(images, logits, name="segnet_resnet50_indices")


def pooled_with_indices(encoder: Encoder) -> keras.Model:
    """Returns a ResNet that pools where it strode, with the same weights.

    Args:
        encoder: a ResNet of keras.applications, read at one stride.

    Returns:
        A model from images to the map and then the uint8 indices of each pooling, the largest first.

    Raises:
        ValueError: the encoder is no ResNet, whose shortcut and first convolution halve side by side.
    """
    if encoder.model.name not in ("resnet50", "resnet101"):
        raise ValueError(
            f"model.encoder: pooling takes the place of strides in resnet50 and resnet101. "
            f"Received: {encoder.model.name}. Type model/encoder=resnet50."
        )
    pooled = {}

    def pool(x: Any) -> Any:
        if id(x) not in pooled:
            pooled[id(x)] = MaxPoolWithIndices2D(name=f"pool{len(pooled) + 1}")(x)
        return pooled[id(x)][0]

    def copied(layer):
        config = layer.get_config()
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1):
            config["strides"] = (1, 1)
        return type(layer).from_config(config)

    def called(layer, x, **options):
        if isinstance(layer, layers.MaxPooling2D):
            return pool(x)
        if layer.name == "pool1_pad":
            return x  # the stem's pooling looked one pixel beyond the edge
        return layer(pool(x) if layer.name in halving else x, **options)

    halving = {
        layer.name
        for layer in encoder.model.layers
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1) and step_of(layer) > 1
    }
    copy = keras.models.clone_model(encoder.model, clone_function=copied, call_function=called)
    copy.set_weights(encoder.model.get_weights())
    indices = [layer.output[1] for layer in copy.layers if isinstance(layer, MaxPoolWithIndices2D)]
    return keras.Model(copy.inputs[0], [*copy.outputs, *indices], name=encoder.model.name)


def _unpool(x: Any, indices: Any, name: str) -> Any:
    return MaxUnpool2D(name=name)(x, indices)
