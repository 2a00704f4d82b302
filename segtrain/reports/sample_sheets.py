"""Sheets of samples for looking at: images with their masks over them, as they are and as training sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.reports.pictures import CAPTION_HEIGHT, MARGIN, TILE_WIDTH, as_rgb, draw_legend, overlay
from segtrain.run_folder import written_whole

# An image that is taller than this is made narrower, so that one tall scan does not fill a page.
TILE_HEIGHT = 2 * TILE_WIDTH
PAIRS_IN_A_ROW = 2


@dataclass(frozen=True)
class Sample:
    """An image and its labels at any size: uint8 `(height, width, channels)` and `(height, width)`, with a caption."""

    caption: str
    image: np.ndarray
    labels: np.ndarray


def sheet_of_samples(samples: Sequence[Sample], dataset: SegmentationDataset) -> Image.Image:
    """Draws each sample's image and beside it the same with its mask, two samples in a row, colours below.

    Args:
        samples: at least one.
        dataset: says palette and names.
    """
    rows = []
    for start in range(0, len(samples), PAIRS_IN_A_ROW):
        pairs = samples[start : start + PAIRS_IN_A_ROW]
        tiles = [tile for sample in pairs for tile in _image_and_overlay(sample, dataset)]
        rows.append((tiles, [sample.caption for sample in pairs]))
    return _sheet(rows, dataset)


def sheet_of_draws(drawn: Sequence[Sequence[Sample]], dataset: SegmentationDataset) -> Image.Image:
    """Draws two rows for each sample: its images, and below them the same with their masks.

    Args:
        drawn: at least one sample; of each the original, then what augmentation made of it, as many of every sample.
        dataset: says palette and names.
    """
    rows = []
    for samples in drawn:
        images, overlays = zip(*(_image_and_overlay(sample, dataset) for sample in samples), strict=True)
        rows += [(images, [sample.caption for sample in samples]), (overlays, [])]
    return _sheet(rows, dataset)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture as PNG, as a whole."""
    with written_whole(path) as temporary:
        picture.save(temporary)


def _image_and_overlay(sample: Sample, dataset: SegmentationDataset) -> tuple[Image.Image, Image.Image]:
    """Returns both at a tile's size; a large photo is made small before anything is computed of it."""
    height, width = sample.labels.shape
    scale = min(TILE_WIDTH / width, TILE_HEIGHT / height)
    # Small images are shown in whole multiples, so that a pixel stays a square.
    scale = max(1, int(scale)) if scale >= 1 else scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(as_rgb(sample.image))
    image = image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)
    labels = np.asarray(Image.fromarray(sample.labels).resize(size, Image.Resampling.NEAREST))
    return image, Image.fromarray(overlay(np.asarray(image), labels, dataset.palette))


def _sheet(rows: Sequence[tuple[Sequence[Image.Image], Sequence[str]]], dataset: SegmentationDataset) -> Image.Image:
    """Draws rows of tiles, each as high as its highest tile, with captions below, and the classes' colours at the end.

    Args:
        rows: tiles and captions, each of which has the room of as many tiles as there are to a caption.
        dataset: says palette and names.
    """
    font = ImageFont.load_default(13)
    column_width = max(tile.width for tiles, _ in rows for tile in tiles) + MARGIN
    sheet_width = MARGIN + column_width * max(len(tiles) for tiles, _ in rows)
    heights = [max(tile.height for tile in tiles) for tiles, _ in rows]
    row_heights = [
        height + MARGIN + (CAPTION_HEIGHT if captions else 0)
        for height, (_, captions) in zip(heights, rows, strict=True)
    ]
    legend = draw_legend(dataset, sheet_width - 2 * MARGIN, font)
    sheet = Image.new("RGB", (sheet_width, MARGIN + sum(row_heights) + legend.height + MARGIN // 2), "white")
    draw, top = ImageDraw.Draw(sheet), MARGIN
    for (tiles, captions), height, row_height in zip(rows, heights, row_heights, strict=True):
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (MARGIN + column * column_width, top))
        for place, caption in enumerate(captions):
            room = column_width * (len(tiles) // len(captions))
            draw.text((MARGIN + place * room, top + height + 2), _cut(caption, font, room - MARGIN), (90, 90, 90), font)
        top += row_height
    sheet.paste(legend, (MARGIN, top))
    return sheet


def _cut(text: str, font: ImageFont.FreeTypeFont, room: int) -> str:
    """Returns the text, or as much of its end as there is room for: names of files differ there."""
    cut = text
    while font.getlength(cut) > room and len(cut) > 4:
        cut = f"...{cut[4:]}" if cut.startswith("...") else f"...{cut[1:]}"
    return cut
