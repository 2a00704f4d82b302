"""How logits of a smaller size become logits of the image, and at what size a network has them."""

from typing import Any, Literal

import keras

from segtrain.layers import BilinearUpSampling2D, CropToReference2D

LogitsAt = Literal["input", "native"]


def logits_of_image(logits: Any, images: Any, *, times: int, logits_at: LogitsAt = "input") -> Any:
    """Brings logits to the size of the image: `times` as large by bilinear interpolation, and cut. Or only cuts them.

    All of it in float32 whatever the precision of the network: the softmax of a half-precision logit is too coarse.

    Args:
        logits: float32 `(batch, height', width', classes)`.
        images: `(batch, height, width, channels)`, not larger than `times` the logits.
        times: how often as large.
        logits_at: `input` enlarges; `native` leaves the network's own size.

    Returns:
        Float32 `(batch, height, width, classes)`; with `native`, height and width are divided by `times`, rounded up.
    """
    if logits_at == "native":
        return CropToReference2D(times, dtype="float32", name="logits")(logits, images)
    logits = BilinearUpSampling2D(times, dtype="float32", name="enlarge")(logits)
    return CropToReference2D(dtype="float32", name="logits")(logits, images)


def with_logits_of_image(model: keras.Model) -> keras.Model:
    """Returns a model whose logits have the size of the image: enlarged as `input` does, or the model as it is.

    The last half window is not that of `input` where the network pads the image: its logits of the padding are gone.
    """
    stride = logits_stride(model)
    if stride == 1:
        return model
    images = keras.Input(model.input_shape[1:], name="image")
    return keras.Model(images, logits_of_image(model(images), images, times=stride), name=model.name)


def logits_stride(model: keras.Model) -> int:
    """Returns how many pixels of the image, in height and width, a logit stands for: 1 where it has one for each.

    Args:
        model: from images `(batch, height, width, channels)` to logits. It is not run.
    """
    height, width, channels = model.input_shape[1:]
    height, width = height or 256, width or 256  # any size that is no small one tells
    return -(-height // model.compute_output_shape((1, height, width, channels))[1])
