"""Pictures of labels: palette masks, overlays, and the grid input, truth, prediction, errors."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.pipeline.resizing import letterboxed, resize_image
from segtrain.run_folder import RunFolder

VOID_COLOUR = (224, 224, 224)
RIGHT_COLOUR = (38, 50, 56)
WRONG_COLOUR = (255, 82, 82)
# Height and width to which small images are enlarged, and the most that large ones may have in a grid of a few.
TILE = (448, 224)
LARGEST_TILE = (1280, 640)
MARGIN = 8
CAPTION_HEIGHT = 20


def picture_path(folder: RunFolder, epoch: int) -> Path:
    """Returns where the prediction picture after `epoch` is; 0 is before training."""
    return folder.predictions / f"epoch_{epoch:03d}.png"


def colourise(labels: np.ndarray, palette: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Returns labels `(height, width)` in the palette's colours, uint8 `(height, width, 3)`; void is light grey."""
    table = np.full((256, 3), VOID_COLOUR, np.uint8)
    table[: len(palette)] = palette
    return table[labels]


def overlay(image: np.ndarray, labels: np.ndarray, palette: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Returns the image with the labels' colours over it, half and half; uint8 `(height, width, 3)`."""
    mixed = (as_rgb(image).astype(np.uint16) + colourise(labels, palette)) // 2
    return mixed.astype(np.uint8)


def palette_image(labels: np.ndarray, palette: Sequence[tuple[int, int, int]]) -> Image.Image:
    """Returns labels `(height, width)` as a palette image: each pixel is a class id, shown in the class's colour."""
    picture = Image.fromarray(labels.astype(np.uint8), mode="P")
    table = np.full((256, 3), VOID_COLOUR, np.uint8)
    table[: len(palette)] = palette
    picture.putpalette(table.tobytes())
    return picture


def error_map(labels: np.ndarray, predicted: np.ndarray, ignore_label: int) -> np.ndarray:
    """Returns wrong pixels in red, right ones dark and void light grey, uint8 `(height, width, 3)`."""
    errors = np.where((labels == predicted)[..., None], np.uint8(RIGHT_COLOUR), np.uint8(WRONG_COLOUR))
    errors[labels == ignore_label] = VOID_COLOUR
    return errors


def prediction_grid(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    *,
    names: Sequence[str],
    dataset: SegmentationDataset,
) -> Image.Image:
    """Draws a row per image: input, truth, prediction, errors; the classes' colours stand below.

    Images of different sizes are each brought to a common tile, in their own aspect ratio.

    Args:
        images: uint8 `(height, width, channels)` each.
        labels: uint8 `(height, width)` each, void included.
        predicted: uint8 `(height, width)` each.
        names: caption of each row.
        dataset: says palette, names and void.
    """
    font = ImageFont.load_default(13)
    tile_height, tile_width = shown_size(tuple(np.max([mask.shape for mask in labels], axis=0)), LARGEST_TILE)
    row_height = tile_height + CAPTION_HEIGHT + MARGIN
    sheet_width = 4 * (tile_width + MARGIN) + MARGIN
    legend = draw_legend(dataset, sheet_width - 2 * MARGIN, font)
    sheet_height = MARGIN + CAPTION_HEIGHT + len(images) * row_height + legend.height + MARGIN
    sheet = Image.new("RGB", (sheet_width, sheet_height), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(("input", "truth", "prediction", "errors (red)")):
        draw.text((MARGIN + column * (tile_width + MARGIN), MARGIN), title, fill="black", font=font)
    for row, (image, truth, prediction, name) in enumerate(zip(images, labels, predicted, names, strict=True)):
        top = MARGIN + CAPTION_HEIGHT + row * row_height
        tiles = (
            as_rgb(image),
            colourise(truth, dataset.palette),
            colourise(prediction, dataset.palette),
            error_map(truth, prediction, dataset.ignore_label),
        )
        for column, pixels in enumerate(tiles):
            place = letterboxed(pixels.shape[:2], (tile_height, tile_width))
            left = MARGIN + column * (tile_width + MARGIN) + place.left
            sheet.paste(Image.fromarray(at_size(pixels, place.size)), (left, top + place.top))
        draw.text((MARGIN, top + tile_height + 2), name, fill=(90, 90, 90), font=font)
    sheet.paste(legend, (MARGIN, sheet_height - legend.height - MARGIN // 2))
    return sheet


def shown_size(size: tuple[int, int], most: tuple[int, int]) -> tuple[int, int]:
    """Returns `(height, width)` at which an image is shown: small ones enlarged to about a tile, large ones to `most`.

    Small ones are enlarged in whole multiples, so that a pixel stays a square.
    """
    room = min(limit / own for limit, own in zip(most, size, strict=True))
    of_tile = min(limit / own for limit, own in zip(TILE, size, strict=True))
    scale = room if room < 1 else max(1, min(round(of_tile), int(room)))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def at_size(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Shows each pixel as a rectangle where there is room for it, else their mean colour."""
    if size[0] < pixels.shape[0] or size[1] < pixels.shape[1]:
        return resize_image(pixels, size)
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.NEAREST))


def draw_legend(dataset: SegmentationDataset, width: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Draws the classes' colours and names, in as many lines as `width` asks for."""
    entries = [*zip(dataset.class_names, dataset.palette, strict=True), ("void", VOID_COLOUR)]
    places, x, line = [], 0, 0
    for name, _ in entries:
        needed = 18 + int(font.getlength(name)) + 14
        if x + needed > width and x:
            x, line = 0, line + 1
        places.append((x, line * CAPTION_HEIGHT))
        x += needed
    picture = Image.new("RGB", (width, (line + 1) * CAPTION_HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    for (name, colour), (x, y) in zip(entries, places, strict=True):
        draw.rectangle((x, y + 3, x + 12, y + 15), fill=tuple(colour), outline=(120, 120, 120))
        draw.text((x + 18, y + 1), name, fill="black", font=font)
    return picture


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Returns uint8 `(height, width, 3)`: of one or two channels the first as grey, of more the first three."""
    return np.repeat(image[..., :1], 3, axis=2) if image.shape[2] < 3 else image[..., :3]


def photo_source(image: np.ndarray) -> str:
    """Returns an image, uint8 `(height, width, channels)`, as the `src` of an `<img>`."""
    return _source(Image.fromarray(np.ascontiguousarray(as_rgb(image))), "jpeg", quality=80)


def labels_source(labels: np.ndarray, palette: Sequence[tuple[int, int, int]]) -> str:
    """Returns labels, `(height, width)`, in the palette's colours as the `src` of an `<img>`; void is light grey."""
    return _source(palette_image(labels, palette), "png", optimize=True)


def _source(picture: Image.Image, kind: str, **options: int | bool) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()
