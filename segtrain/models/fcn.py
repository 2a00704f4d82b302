"""What the three fully convolutional networks share: scores of some poolings, added up from coarse to fine."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from segtrain.layers import BilinearKernel, CropToReference2D
from segtrain.models.encoders.encoder import Encoder


def build_fcn(
    name: str, encoder: Encoder, *, strides: Sequence[int], num_classes: int, channels: int, trainable_upsampling: bool
) -> keras.Model:
    """Builds a fully convolutional network.

    A 1x1 convolution scores the encoder's map of each stride. All scores are brought to the size of the finest by
    transposed convolutions and added up, and their sum to the size of the image. A kernel is twice as large as it
    enlarges, without bias, and begins as bilinear interpolation.

    Args:
        name: name of the model.
        encoder: the encoder.
        strides: those of the maps that are scored, the finest first.
        num_classes: number of logits per pixel.
        channels: channels of the image.
        trainable_upsampling: whether transposed convolutions learn, or stay bilinear.

    Raises:
        ValueError: the encoder has no map of such a stride.
    """
    images = keras.Input((None, None, channels), name="image")
    maps = encoder.reading(*strides).model(images)
    finest = strides[0]

    def enlarge(scores: Any, times: int, name: str) -> Any:
        return layers.Conv2DTranspose(
            num_classes,
            2 * times,
            strides=times,
            padding="same",
            use_bias=False,
            kernel_initializer=BilinearKernel(times),
            trainable=trainable_upsampling,
            dtype="float32",
            name=name,
        )(scores)

    scores = []
    for stride, features in zip(strides, maps, strict=True):
        score = layers.Conv2D(num_classes, 1, dtype="float32", name=f"score{stride}")(features)
        scores.append(score if stride == finest else enlarge(score, stride // finest, f"enlarge{stride}"))
    total = layers.Add(dtype="float32", name="sum")(scores) if len(scores) > 1 else scores[0]
    logits = enlarge(total, finest, "enlarge_to_image")
    return keras.Model(images, CropToReference2D(dtype="float32", name="logits")(logits, images), name=name)
