"""The network shape that SegNet and the plain encoder-decoder share, so that they differ in the up-sampling alone."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from segtrain.layers import CropToReference2D, FusedBatchNormalization
from segtrain.models.encoders.applications import build_application
from segtrain.models.encoders.preprocessing import grey_to_rgb, preprocess


@dataclass(frozen=True)
class Stages:
    """Widths (filters) of every convolution, stage by stage.

    Attributes:
        encoder: one tuple per stage; each stage ends in a pooling by two.
        bottom: convolutions at the lowest resolution, between the last pooling and the first up-sampling.
        decoder: one tuple per stage, lowest resolution first; each stage begins with an up-sampling by two.
    """

    encoder: Sequence[Sequence[int]]
    bottom: Sequence[int]
    decoder: Sequence[Sequence[int]]


def vgg16_stages(width: int) -> Stages:
    """The paper's SegNet: VGG16's 13 convolutions, five poolings, and their mirror image.

    The decoder lists 12; the 13th is the classifier. Unpooling returns values to the channels they were pooled
    from, so each decoder stage ends in the width of the next map to be restored.
    Source: Badrinarayanan et al. 2015, section 3, https://arxiv.org/abs/1511.00561.
    """
    f = width
    return Stages(
        encoder=[(f,) * 2, (2 * f,) * 2, (4 * f,) * 3, (8 * f,) * 3, (8 * f,) * 3],
        bottom=(),
        decoder=[(8 * f,) * 3, (8 * f, 8 * f, 4 * f), (4 * f, 4 * f, 2 * f), (2 * f, f), (f,)],
    )


def small_stages(width: int, *, wide_third_decoder: bool = False) -> Stages:
    """Four poolings and a bottom of three convolutions: the scale used for 64x64 images in public comparisons.

    Unpooling sets the width that each decoder stage ends in, plain up-sampling does not: with `wide_third_decoder` the
    third stage has twice the width it needs, as the plain network of such a comparison does.
    """
    f = width
    third = 2 * f if wide_third_decoder else f
    return Stages(
        encoder=[(f,) * 2, (2 * f,) * 2, (4 * f,) * 3, (8 * f,) * 3],
        bottom=(8 * f,) * 3,
        decoder=[(4 * f,) * 3, (2 * f,) * 3, (third,) * 2, (f,) * 2],
    )


def build_mirrored_network(
    name: str,
    *,
    stages: Stages,
    num_classes: int,
    channels: int,
    dropout: float,
    batch_norm_momentum: float,
    pool: Callable[[Any, str], tuple[Any, Any]],
    upsample: Callable[[Any, Any, str], Any],
    weights: str | None = None,
) -> keras.Model:
    """Builds encoder, bottom, mirrored decoder and classifier.

    Args:
        name: name of the model.
        stages: the widths.
        num_classes: number of logits per pixel.
        channels: channels of the image.
        dropout: share of values dropped before the decoder.
        batch_norm_momentum: share of the running statistics kept at each step.
        pool: `(features, layer name) -> (pooled, memory)`; the memory goes to the up-sampling of the same level.
        upsample: `(features, memory, layer name) -> features` of twice the height and width.
        weights: of VGG16, for the encoder's convolutions to begin with, as an encoder takes them; None for random ones.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`. Height and width are free; both at least `2 ** number of poolings`.

    Raises:
        ValueError: the weights cannot be had, or the encoder is not of VGG16's widths.
    """
    kernels_and_biases = None if weights is None else _weights_of_vgg16(weights, stages, channels)
    images = keras.Input((None, None, channels), name="image")
    if weights is None:
        x = layers.Rescaling(1 / 255, name="rescale")(images)
    else:
        x = preprocess(grey_to_rgb(images), "caffe")

    # Encoder. What each pooling saw is kept: its memory for the up-sampling, its size to restore.
    pooled_maps = []
    for level, widths in enumerate(stages.encoder, 1):
        x = _conv_units(x, widths, f"encoder{level}", batch_norm_momentum)
        features = x
        x, memory = pool(features, f"pool{level}")
        pooled_maps.append((level, features, memory))
    x = _conv_units(x, stages.bottom, "bottom", batch_norm_momentum)

    # Decoder.
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    for (level, features, memory), widths in zip(reversed(pooled_maps), stages.decoder, strict=True):
        x = upsample(x, memory, f"upsample{level}")
        x = CropToReference2D(name=f"crop{level}")(x, features)
        x = _conv_units(x, widths, f"decoder{level}", batch_norm_momentum)

    # Logits stay float32 whatever the precision of the network: the softmax of a half-precision logit is too coarse.
    logits = layers.Conv2D(num_classes, 3, padding="same", dtype="float32", name="logits")(x)
    model = keras.Model(images, logits, name=name)
    if kernels_and_biases is not None:
        convolutions = [layer for layer in model.layers if re.match(r"encoder\d_conv", layer.name)]
        for convolution, kernel_and_bias in zip(convolutions, kernels_and_biases, strict=True):
            convolution.set_weights(kernel_and_bias)
    return model


def _weights_of_vgg16(weights: str, stages: Stages, channels: int) -> list[list[np.ndarray]]:
    """Returns kernel and bias of each of VGG16's 13 convolutions, from the image on."""
    if stages.encoder != vgg16_stages(64).encoder:
        raise ValueError(
            f"model.weights={weights}: VGG16's first convolutions have 64 filters; this network's "
            f"{stages.encoder[0][0]}. Type model.width=64, or model.weights=null."
        )
    vgg16 = build_application(
        "vgg16",
        keras.applications.VGG16,
        channels=channels,
        weights=weights,
        freeze="none",
        preprocessing="caffe",
        setting="model.weights",
    )
    return [layer.get_weights() for layer in vgg16.model.layers if isinstance(layer, layers.Conv2D)]


def _conv_units(x: Any, widths: Sequence[int], name: str, batch_norm_momentum: float) -> Any:
    """Conv 3x3 "same" -> BatchNorm -> ReLU, once for each width."""
    for number, width in enumerate(widths, 1):
        x = layers.Conv2D(width, 3, padding="same", kernel_initializer="he_normal", name=f"{name}_conv{number}")(x)
        x = FusedBatchNormalization(momentum=batch_norm_momentum, name=f"{name}_norm{number}")(x)
        x = layers.ReLU(name=f"{name}_relu{number}")(x)
    return x
