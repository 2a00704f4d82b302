"""Rotation, flip and random crop in one step."""

from collections.abc import Sequence
from typing import Annotated, Any

import albumentations
import cv2
import numpy as np
from annotated_types import Ge, Gt, Le, Len

from segtrain.augmentations.four_channels import add_fourth, drop_fourth
from segtrain.pipeline.resizing import resize_image


class RotateFlipCrop(albumentations.DualTransform):
    """Rotates, mirrors, and brings a random part to a size, as one warp of the pixels.

    It draws what `Rotate`, `HorizontalFlip` and `RandomResizedCrop` draw one after another, and interpolates once
    where they do twice: quicker, and a little sharper. The angle and the part are uniform as there.

    An image whose part shrinks to a half or less is averaged first over areas of so many whole pixels, since a warp
    looks at four pixels for one and passes the others by; what is left to the warp is less than a half.

    Args:
        size: `(height, width)` to bring the part to.
        limit: rotates by up to so many degrees either way.
        flip: how often to mirror left to right, 0..1.
        scale: area of the part, lowest and highest share of the image.
        ratio: its width over its height, lowest and highest.
        fill: pixel value from outside the image.
        fill_mask: label from outside the image.
        p: how often to do anything; the image keeps its size otherwise.
    """

    def __init__(
        self,
        size: Annotated[Sequence[int], Len(2, 2)],
        limit: Annotated[float, Ge(0), Le(180)] = 30,
        flip: Annotated[float, Ge(0), Le(1)] = 0.5,
        scale: Annotated[Sequence[float], Len(2, 2)] = (0.7, 1.0),
        ratio: Annotated[Sequence[float], Len(2, 2)] = (0.75, 1.3333),
        fill: float = 0,
        fill_mask: float = 0,
        p: Annotated[float, Gt(0), Le(1)] = 1.0,
    ):
        super().__init__(p=p)
        self.size, self.limit, self.flip, self.scale, self.ratio = tuple(size), limit, flip, tuple(scale), tuple(ratio)
        self.fill, self.fill_mask = fill, fill_mask
        self._crop = albumentations.RandomResizedCrop(size=self.size, scale=self.scale, ratio=self.ratio)

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draws the warp: a 2x3 matrix from positions (x, y) in the image to those in the result."""
        height, width = params["shape"][:2]
        angle = self.py_random.uniform(-self.limit, self.limit)
        mirrored = self.py_random.random() < self.flip
        self._crop.random_generator, self._crop.py_random = self.random_generator, self.py_random
        left, top, right, bottom = self._crop.get_params_dependent_on_data(params, data)["crop_coords"]

        rotate = np.eye(3)
        rotate[:2] = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        mirror = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]]) if mirrored else np.eye(3)
        across, down = self.size[1] / (right - left), self.size[0] / (bottom - top)
        # Corners of pixels, not their middles, are what a resizing keeps in place: hence the halves.
        fit = np.array([[across, 0, (0.5 - left) * across - 0.5], [0, down, (0.5 - top) * down - 0.5], [0, 0, 1]])
        return {"matrix": (fit @ mirror @ rotate)[:2], "pixels_for_one": int(1 / max(across, down))}

    def apply(self, img: np.ndarray, matrix: np.ndarray, pixels_for_one: int = 1, **params: Any) -> np.ndarray:
        """Warps an image, with linear interpolation; what shrinks by 2 or more is averaged before."""
        if pixels_for_one > 1:
            img, matrix = _shrink(img, matrix, pixels_for_one)
        if img.shape[2] == 3:
            return drop_fourth(self._warp(add_fourth(img), matrix, cv2.INTER_LINEAR, self.fill))
        return self._warp(img, matrix, cv2.INTER_LINEAR, self.fill)

    def apply_to_mask(self, mask: np.ndarray, matrix: np.ndarray, **params: Any) -> np.ndarray:
        """Warps a mask; each pixel takes the nearest label."""
        return self._warp(mask, matrix, cv2.INTER_NEAREST, self.fill_mask)

    def _warp(self, pixels, matrix, interpolation, fill):
        height, width = self.size
        warped = cv2.warpAffine(
            pixels, matrix, (width, height), flags=interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=[fill] * 4
        )
        return warped.reshape(height, width, *pixels.shape[2:])  # OpenCV drops a channel axis of 1


def _shrink(image: np.ndarray, matrix: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the image with areas of `factor` x `factor` pixels averaged, and the warp that goes with it."""
    height, width = image.shape[:2]
    shrunk = resize_image(image, (-(-height // factor), -(-width // factor)))
    across, down = width / shrunk.shape[1], height / shrunk.shape[0]
    back = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    return shrunk, matrix @ back
