"""Generated images of coloured shapes: a dataset that needs no download and cannot be solved by colour."""

import colorsys
from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset
from segtrain.datasets.palette import voc_palette

CLASS_NAMES = ("ground", "disc", "ring", "triangle", "cross")
GROUND, DISC, RING, TRIANGLE, CROSS = range(5)
VOID = 255
PALETTE = ((38, 50, 56), (239, 83, 80), (255, 202, 40), (66, 165, 245), (102, 187, 106))
# Validation images come from a stream of their own, whatever the number of training images.
STREAM_OF_SPLIT = {"train": 0, "val": 1, "test": 2}


def build_shapes(
    *,
    num_train: Annotated[int, Ge(1)] = 800,
    num_val: Annotated[int, Ge(1)] = 200,
    height: Annotated[int, Ge(16)] = 32,
    width: Annotated[int, Ge(16)] = 32,
    num_classes: Annotated[int, Ge(2), Le(255)] = len(CLASS_NAMES),
    void: bool = True,
    seed: Annotated[int, Ge(0)] = 0,
    cache: CacheChoice = "auto",
    resize: ResizeChoice = "stretch",
) -> SegmentationDataset:
    """Returns coloured shapes with a thin tail each, over textured ground, with a void rim as Pascal VOC has it.

    Args:
        num_train: training images.
        num_val: validation images; there are as many test images.
        height: of the images.
        width: of the images.
        num_classes: the ground, and shapes that differ in form and colour, from the fifth shape on in colour alone.
        void: shapes have a rim without a class; else the rim is ground.
        seed: of the images; the run's own seed does not change them.
        cache: where the generated pixels are kept.
        resize: how images reach the network's size, see `SegmentationDataset`.
    """
    counts = {"train": num_train, "val": num_val, "test": num_val}
    return SegmentationDataset(
        name="shapes",
        splits={
            name: _GeneratedSplit(name, count, (height, width), num_classes, void, (seed, STREAM_OF_SPLIT[name]))
            for name, count in counts.items()
        },
        class_names=tuple(_class_name(class_id) for class_id in range(num_classes)),
        ignore_label=VOID,
        palette=PALETTE[:num_classes] if num_classes <= len(PALETTE) else voc_palette(num_classes),
        cache=cache,
        resize=resize,
    )


class _GeneratedSplit:
    """Draws each sample when it is read, from a random stream of its own. Implements `Split`."""

    def __init__(
        self, name: str, count: int, size: tuple[int, int], num_classes: int, void: bool, seed: tuple[int, int]
    ):
        self._name = name
        self._count = count
        self._size = size
        self._num_classes = num_classes
        self._void = void
        self._seed = seed

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        return f"{self._name}_{index:05d}"

    def source(self, index: int) -> str:
        return f"generated {self.name(index)}"

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return self._size, self._size

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = draw_scene(np.random.default_rng((*self._seed, index)), *self._size, self._num_classes)
        return image, labels if self._void else np.where(labels == VOID, GROUND, labels).astype(np.uint8)


def draw_scene(rng: np.random.Generator, height: int, width: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws one to three shapes that do not touch.

    Returns:
        Image, uint8 `(height, width, 3)`, and labels, uint8 `(height, width)`, void rims included.
    """
    image = _draw_ground(rng, height, width)
    labels = np.full((height, width), GROUND, np.uint8)
    for _ in range(rng.integers(1, 4)):
        class_id = int(rng.integers(1, num_classes))
        hue = _hues(class_id, num_classes)[rng.integers(2)] + rng.uniform(-0.16, 0.16) / (num_classes - 1)
        colour = _rgb(hue, rng.uniform(0.55, 1.0), rng.uniform(0.4, 1.0))
        for _ in range(10):  # places to try before the scene counts as full
            shape = _draw_shape(rng, _form(class_id), height, width)
            rim = cv2.dilate(shape, np.ones((3, 3), np.uint8)) > 0
            if not labels[rim].any():
                labels[rim] = VOID
                labels[shape > 0] = class_id
                image[shape > 0] = colour
                break
    image += rng.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def _form(class_id):
    return (class_id - 1) % CROSS + 1


def _class_name(class_id):
    form = CLASS_NAMES[_form(class_id)] if class_id else CLASS_NAMES[GROUND]
    return form if class_id <= CROSS else f"{form} {(class_id - 1) // CROSS + 1}"


def _hues(class_id, num_classes):
    """Returns two opposite hues, in turns of the colour circle.

    So no straight cut through RGB tells a class from the rest, and the ground may have any of them, paler.
    """
    hue = 0.5 * (class_id - 1) / (num_classes - 1)
    return hue, hue + 0.5


def _draw_ground(rng, height, width):
    """A pale colour with soft patches and stripes."""
    colour = _rgb(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.75))
    patches = rng.normal(0, 14, (4, 4, 3)).astype(np.float32)
    angle, wave = rng.uniform(0, np.pi), rng.uniform(0.4, 1.2)
    across = np.arange(width) * np.cos(angle) + np.arange(height)[:, None] * np.sin(angle)
    stripes = rng.uniform(4, 14) * np.sin(wave * across)
    return colour + cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC) + stripes[..., None]


def _draw_shape(rng, form, height, width):
    """Returns a uint8 mask, 1 on a body of the form and on its tail."""
    mask = np.zeros((height, width), np.uint8)
    size = min(height, width)
    radius = rng.uniform(0.22, 0.36) * size
    centre = np.array([rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)])
    turn = rng.uniform(0, 2 * np.pi)
    stroke = max(2, int(0.45 * radius))
    if form == DISC:
        cv2.circle(mask, _point(centre), int(radius), 1, -1)
    elif form == RING:
        cv2.circle(mask, _point(centre), int(0.8 * radius), 1, max(2, int(0.4 * radius)))
    elif form == TRIANGLE:
        corners = [_point(centre + 1.15 * radius * _direction(turn + 2 * np.pi * k / 3)) for k in range(3)]
        cv2.fillPoly(mask, [np.array(corners, np.int32)], 1)
    else:
        for arm in (radius * _direction(turn), radius * _direction(turn + np.pi / 2)):
            cv2.line(mask, _point(centre - arm), _point(centre + arm), 1, stroke)
    tail = _direction(rng.uniform(0, 2 * np.pi))
    cv2.line(mask, _point(centre + 0.8 * radius * tail), _point(centre + 1.9 * radius * tail), 1, max(1, size // 32))
    return mask


def _direction(angle):
    return np.array([np.cos(angle), np.sin(angle)])


def _point(position):
    return int(round(position[0])), int(round(position[1]))


def _rgb(hue, saturation, value):
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)
