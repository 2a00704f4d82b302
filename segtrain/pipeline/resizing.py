"""How image and labels of any size reach the network's: `dataset.resize`."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from segtrain.datasets.dataset import ResizeChoice

Size = tuple[int, int]


def describe_size(size: Size | None, resize: ResizeChoice) -> str:
    """Returns in a few words at what size the network sees images."""
    if size is None:
        return "images at their own sizes"
    height_by_width = "x".join(map(str, size))
    return height_by_width if resize == "stretch" else f"{height_by_width} ({resize})"


@dataclass(frozen=True)
class Place:
    """A rectangle of pixels.

    Attributes:
        top: rows above it.
        left: columns before it.
        height: its rows.
        width: its columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> Size:
        return self.height, self.width

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array `(height, width, ...)` with."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def whole(size: Size) -> Place:
    """Returns the place of what takes all of `(height, width)`."""
    return Place(0, 0, *size)


def letterboxed(shape: Size, size: Size) -> Place:
    """Returns where an image lies in the network's: as large as it fits with its aspect ratio, in the middle.

    Args:
        shape: `(height, width)` of the image.
        size: `(height, width)` of the network.
    """
    scale = min(size[0] / shape[0], size[1] / shape[1])
    # However thin the image, a row of it stays; and a product of floats may come out above the exact one.
    height, width = (min(max(1, round(each * scale)), most) for each, most in zip(shape, size, strict=True))
    return _in_the_middle((height, width), size)


def largest_part(shape: Size, size: Size) -> Place:
    """Returns which part of an image `crop_square` keeps: the largest centred one of the network's aspect ratio.

    Args:
        shape: `(height, width)` of the image.
        size: `(height, width)` of the network; a square one gives the largest square.
    """
    height, width = shape
    if width * size[0] > height * size[1]:
        return _in_the_middle((height, max(1, round(height * size[1] / size[0]))), shape)
    return _in_the_middle((max(1, round(width * size[0] / size[1])), width), shape)


def size_around(shape: Size, size: Size, most_pixels: int) -> Size:
    """Returns the size of a whole image at the scale at which `crop_square`'s part of it fills the network's.

    Args:
        shape: `(height, width)` of the image.
        size: `(height, width)` of the network.
        most_pixels: of the result; an image that is too long for that is made smaller in its aspect ratio.
    """
    part = largest_part(shape, size)
    height, width = (own * seen / kept for own, seen, kept in zip(shape, size, part.size, strict=True))
    scale = min(1.0, math.sqrt(most_pixels / (height * width)))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _in_the_middle(inner: Size, outer: Size) -> Place:
    return Place((outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2, *inner)


def bring_to_size(
    image: np.ndarray, labels: np.ndarray, size: Size, resize: ResizeChoice, ignore_label: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns image and labels at the network's size; what has that size is returned as it is.

    Args:
        image: uint8 `(height, width, channels)`.
        labels: uint8 `(height, width)`.
        size: `(height, width)` of the network.
        resize: `letterbox` pads with pixel value 0 and void; the others fill `size`. For `crop_square` image and
            labels are the part that it keeps, see `crop`.
        ignore_label: label of void.
    """
    if resize != "letterbox":
        return resize_image(image, size), resize_labels(labels, size)
    place = letterboxed(image.shape[:2], size)
    return (
        pad(resize_image(image, place.size), place, size, 0),
        pad(resize_labels(labels, place.size), place, size, ignore_label),
    )


def crop(pixels: np.ndarray, part: Place) -> np.ndarray:
    """Returns a copy of a part: a view would keep the whole image in memory for as long as a cache keeps the part."""
    return pixels[part.window].copy()


def pad(pixels: np.ndarray, place: Place, size: Size, value: int) -> np.ndarray:
    """Returns an array of `size` with the pixels in their place and `value` around them."""
    if place.size == tuple(size):
        return pixels
    padded = np.full((*size, *pixels.shape[2:]), value, pixels.dtype)
    padded[place.window] = pixels
    return padded


def resize_image(image: np.ndarray, size: Size) -> np.ndarray:
    """Returns the image at `(height, width)`: averaged over areas where it shrinks, linear where it grows."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    # OpenCV resizes up to four channels at a time, and drops the axis of a single one.
    parts = [image[..., first : first + 4] for first in range(0, image.shape[2], 4)]
    parts = [cv2.resize(part, (size[1], size[0]), interpolation=interpolation).reshape(*size, -1) for part in parts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def resize_labels(labels: np.ndarray, size: Size) -> np.ndarray:
    """Returns the labels at `(height, width)`, each the nearest one: anything smoother invents labels."""
    if labels.shape == tuple(size):
        return labels
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
