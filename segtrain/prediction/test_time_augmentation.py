"""In which ways the network sees an image before its answers are averaged: `tta`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from segtrain.pipeline.resizing import Size
from segtrain.prediction.choices import TtaChoice

SCALES = (0.75, 1.0, 1.25)


@dataclass(frozen=True)
class View:
    """One way to see an image.

    Attributes:
        scale: of the size at which the network sees it.
        is_mirrored: left and right are swapped.
    """

    scale: float = 1.0
    is_mirrored: bool = False

    def size(self, size: Size) -> Size:
        """Returns the size at which an image is seen whose size is `size` at scale 1."""
        return max(1, round(size[0] * self.scale)), max(1, round(size[1] * self.scale))

    def mirrored(self, pixels: np.ndarray) -> np.ndarray:
        """Returns `(images, height, width, ...)` as this view shows them, or back from it."""
        return pixels[:, :, ::-1] if self.is_mirrored else pixels


def views(tta: Sequence[TtaChoice]) -> list[View]:
    """Returns all views that are averaged: with both choices each scale twice, without any the image as it is.

    Raises:
        ValueError: a choice that does not exist.
    """
    unknown = [] if not isinstance(tta, str) and set(tta) <= set(get_args(TtaChoice)) else [tta]
    if unknown:
        raise ValueError(f"tta={tta}: has to be a list of {' and '.join(get_args(TtaChoice))}, such as [flip].")
    scales = SCALES if "scales" in tta else (1.0,)
    return [View(scale, mirrored) for scale in scales for mirrored in ([False, True] if "flip" in tta else [False])]
