"""How logits of a smaller size become logits of the image."""

from typing import Any

from segtrain.layers import BilinearUpSampling2D, CropToReference2D


def logits_of_image(logits: Any, images: Any, *, times: int) -> Any:
    """Brings logits to the size of the image: `times` as large by bilinear interpolation, and cut.

    All of it in float32 whatever the precision of the network: the softmax of a half-precision logit is too coarse.

    Args:
        logits: float32 `(batch, height', width', classes)`.
        images: `(batch, height, width, channels)`, not larger than `times` the logits.
        times: how often as large.

    Returns:
        Float32 `(batch, height, width, classes)`.
    """
    logits = BilinearUpSampling2D(times, dtype="float32", name="enlarge")(logits)
    return CropToReference2D(dtype="float32", name="logits")(logits, images)
