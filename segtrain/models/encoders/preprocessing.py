"""How images are scaled for the weights of each family."""

from typing import Any, Literal

import keras
from keras import layers

# How the pixels were scaled that ImageNet weights were trained on, by keras' names for it.
Preprocessing = Literal["caffe", "tf", "torch"]

# Of ImageNet, in the range 0..1, red first.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The same mean as Caffe's models subtract it: 0..255, blue first.
CAFFE_MEAN = (103.939, 116.779, 123.68)


def grey_to_rgb(images: Any) -> Any:
    """Returns grey images with three equal channels, and others as they are."""
    if images.shape[-1] != 1:
        return images
    return layers.Concatenate(dtype="float32", name="grey_to_rgb")([images] * 3)


def preprocess(images: Any, kind: Preprocessing) -> Any:
    """Scales images 0..255, red first, as the weights of a family expect.

    Equals `keras.applications.imagenet_utils.preprocess_input` with the mode of that name. Images of other channels
    than three have no such mean, and are scaled to -1..1.
    """
    # In float32 whatever the precision of the network, which would round the pixels before their mean is taken off.
    if kind == "tf" or images.shape[-1] != 3:
        return layers.Rescaling(1 / 127.5, -1.0, dtype="float32", name="preprocess")(images)
    if kind == "caffe":
        images = keras.ops.flip(images, axis=-1)
        return layers.Rescaling(1.0, [-mean for mean in CAFFE_MEAN], dtype="float32", name="preprocess")(images)
    scale = [1 / (255 * deviation) for deviation in DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    return layers.Rescaling(scale, offset, dtype="float32", name="preprocess")(images)
