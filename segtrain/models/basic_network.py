"""The encoder that the networks of the SegNet paper's Table 1 share, and its two kinds of decoder.

Four encoders and four decoders of 7x7 convolutions with 64 maps, each normalised, without biases; no ReLU in the
decoders. Source: Badrinarayanan, Kendall, Cipolla 2017, section 3.1, Fig. 3 and Table 1, and section 3.2 for their
training, https://arxiv.org/abs/1511.00561.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers

from segtrain.layers import (
    BilinearKernel,
    BilinearUpSampling2D,
    CropToReference2D,
    FusedBatchNormalization,
    LocalContrastNormalization,
)
from segtrain.models.encoder_decoder import max_pool
from segtrain.models.segnet import pool_with_indices, unpool

LEVELS = 4
KERNEL_SIZE = 7
# The paper's kernels that enlarge by two.
DECONVOLUTION_SIZE = 8


class _Level(NamedTuple):
    """An encoder: its number from 1, and what its decoder may read."""

    number: int
    entered: Any  # what it convolves: the image, or what the level before has pooled
    features: Any  # what its pooling sees
    memory: Any  # what its pooling remembers


def build_unpooling_network(
    name: str,
    *,
    single_channel: bool,
    encoder_addition: bool,
    num_classes: int,
    channels: int,
    width: int,
    local_contrast: bool,
    batch_norm_momentum: float,
) -> keras.Model:
    """Builds a network whose decoders unpool by the indices and convolve what comes of it.

    Args:
        name: name of the model.
        single_channel: a decoder's filter sees the one map of its own number instead of all.
        encoder_addition: the maps that a level's pooling sees are added to its decoder's.
        num_classes: number of logits per pixel.
        channels: channels of the image.
        width: maps of every layer.
        local_contrast: normalise the image's local contrast; else it is scaled to 0..1.
        batch_norm_momentum: share of the running statistics kept at each step.
    """
    images, x, levels = _encode(channels, width, local_contrast, batch_norm_momentum, pool_with_indices)
    for level, _, features, indices in reversed(levels):
        x = unpool(x, indices, f"unpool{level}")
        x = CropToReference2D(name=f"crop{level}")(x, features)
        if single_channel:
            # Keras takes a depthwise kernel's channels for its inputs: by "fan_out" this is "he_normal".
            x = layers.DepthwiseConv2D(
                KERNEL_SIZE,
                padding="same",
                use_bias=False,
                depthwise_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
                name=f"decoder{level}_conv",
            )(x)
        else:
            x = _convolve(x, width, f"decoder{level}_conv")
        x = FusedBatchNormalization(momentum=batch_norm_momentum, name=f"decoder{level}_norm")(x)
        if encoder_addition:
            x = layers.Add(name=f"add{level}")([x, features])
    return keras.Model(images, score(x, num_classes, "logits", dtype="float32"), name=name)


def build_deconvolving_network(
    name: str,
    *,
    dimension_reduction: bool,
    addition: bool,
    num_classes: int,
    channels: int,
    width: int,
    local_contrast: bool,
    batch_norm_momentum: float,
) -> keras.Model:
    """Builds a network whose decoders enlarge by transposed convolutions, as an FCN does.

    What is added is the output of a pooling (the paper's Fig. 3), to the decoder whose maps are of its size: the third
    pooling's in decoder 4, the second's in 3, the first's in 2, and nothing at the size of the image.

    Args:
        name: name of the model.
        dimension_reduction: the encoder's maps are reduced to one for each class before the decoders.
        addition: what the level before has pooled is added to a decoder's maps, reduced like them.
        num_classes: number of logits per pixel.
        channels: channels of the image.
        width: maps of every layer of the encoder.
        local_contrast: normalise the image's local contrast; else it is scaled to 0..1.
        batch_norm_momentum: share of the running statistics kept at each step.
    """
    images, x, levels = _encode(channels, width, local_contrast, batch_norm_momentum, max_pool)
    maps = num_classes if dimension_reduction else width
    if dimension_reduction:
        x = score(x, num_classes, "score")
    for level, pooled, features, _ in reversed(levels):
        # With reduction the last decoder's maps are the logits.
        precision = {"dtype": "float32"} if dimension_reduction and level == 1 else {}
        x = layers.Conv2DTranspose(
            maps,
            DECONVOLUTION_SIZE,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=BilinearKernel(2),
            name=f"decoder{level}_deconv",
            **precision,
        )(x)
        x = FusedBatchNormalization(momentum=batch_norm_momentum, name=f"decoder{level}_norm", **precision)(x)
        x = CropToReference2D(name=f"crop{level}", **precision)(x, features)
        if addition and level > 1:
            added = score(pooled, maps, f"score_pool{level - 1}") if dimension_reduction else pooled
            x = layers.Add(name=f"add{level}")([x, added])
    if not dimension_reduction:
        x = score(x, num_classes, "logits", dtype="float32")
    return keras.Model(images, x, name=name)


def build_interpolating_network(
    name: str,
    *,
    num_classes: int,
    channels: int,
    width: int,
    local_contrast: bool,
    batch_norm_momentum: float,
) -> keras.Model:
    """Builds the network without a decoder: the classes are scored at a sixteenth of the size, and interpolated.

    Args:
        name: name of the model.
        num_classes: number of logits per pixel.
        channels: channels of the image.
        width: maps of every layer.
        local_contrast: normalise the image's local contrast; else it is scaled to 0..1.
        batch_norm_momentum: share of the running statistics kept at each step.
    """
    images, x, _ = _encode(channels, width, local_contrast, batch_norm_momentum, max_pool)
    x = score(x, num_classes, "score", dtype="float32")
    x = BilinearUpSampling2D(2**LEVELS, dtype="float32", name="upsample")(x)
    return keras.Model(images, CropToReference2D(dtype="float32", name="logits")(x, images), name=name)


def score(x: Any, num_classes: int, name: str, **precision: str) -> Any:
    """Reduces maps to one a class. Unlike the convolutions before it, it has biases: nothing normalises it."""
    return layers.Conv2D(num_classes, 1, name=name, **precision)(x)


def _encode(
    channels: int, width: int, local_contrast: bool, momentum: float, pool: Callable[[Any, str], tuple[Any, Any]]
) -> tuple[Any, Any, list[_Level]]:
    """Returns the image, the last pooled maps, and the levels from the image on."""
    images = keras.Input((None, None, channels), name="image")
    if local_contrast:
        x = LocalContrastNormalization(name="local_contrast")(images)
    else:
        x = layers.Rescaling(1 / 255, name="rescale")(images)
    levels = []
    for number in range(1, LEVELS + 1):
        entered = x
        x = _convolve(x, width, f"encoder{number}_conv")
        x = FusedBatchNormalization(momentum=momentum, name=f"encoder{number}_norm")(x)
        features = layers.ReLU(name=f"encoder{number}_relu")(x)
        x, memory = pool(features, f"pool{number}")
        levels.append(_Level(number, entered, features, memory))
    return images, x, levels


def _convolve(x: Any, width: int, name: str) -> Any:
    return layers.Conv2D(width, KERNEL_SIZE, padding="same", use_bias=False, kernel_initializer="he_normal", name=name)(
        x
    )
