"""Pictures of labels: palette masks, overlays, and the grid input, truth, prediction, errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.run_folder import RunFolder

VOID_COLOUR = (224, 224, 224)
RIGHT_COLOUR = (38, 50, 56)
WRONG_COLOUR = (255, 82, 82)
TILE_WIDTH = 224
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
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    *,
    names: Sequence[str],
    dataset: SegmentationDataset,
) -> Image.Image:
    """Draws a row per image: input, truth, prediction, errors; the classes' colours stand below.

    Args:
        images: uint8 `(images, height, width, channels)`.
        labels: uint8 `(images, height, width)`, void included.
        predicted: uint8 `(images, height, width)`.
        names: caption of each row.
        dataset: says palette, names and void.
    """
    font = ImageFont.load_default(13)
    height, width = labels.shape[1:]
    # Small images are shown in whole multiples, so that a pixel stays a square.
    scale = max(1, round(TILE_WIDTH / width))
    tile = (width * scale, height * scale)
    row_height = tile[1] + CAPTION_HEIGHT + MARGIN
    sheet_width = 4 * (tile[0] + MARGIN) + MARGIN
    legend = draw_legend(dataset, sheet_width - 2 * MARGIN, font)
    sheet_height = MARGIN + CAPTION_HEIGHT + len(images) * row_height + legend.height + MARGIN
    sheet = Image.new("RGB", (sheet_width, sheet_height), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(("input", "truth", "prediction", "errors (red)")):
        draw.text((MARGIN + column * (tile[0] + MARGIN), MARGIN), title, fill="black", font=font)
    for row, (image, truth, prediction, name) in enumerate(zip(images, labels, predicted, names, strict=True)):
        top = MARGIN + CAPTION_HEIGHT + row * row_height
        tiles = (
            as_rgb(image),
            colourise(truth, dataset.palette),
            colourise(prediction, dataset.palette),
            error_map(truth, prediction, dataset.ignore_label),
        )
        for column, pixels in enumerate(tiles):
            picture = Image.fromarray(pixels).resize(tile, Image.Resampling.NEAREST)
            sheet.paste(picture, (MARGIN + column * (tile[0] + MARGIN), top))
        draw.text((MARGIN, top + tile[1] + 2), name, fill=(90, 90, 90), font=font)
    sheet.paste(legend, (MARGIN, sheet_height - legend.height - MARGIN // 2))
    return sheet


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
