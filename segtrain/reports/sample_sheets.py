"""Sheets of samples for looking at: images with their masks over them, as they are and as training sees them."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.inspection.gallery import Sample
from segtrain.reports.pictures import CAPTION_HEIGHT, MARGIN, TILE, as_rgb, at_size, draw_legend, overlay, shown_size
from segtrain.run_folder import written_whole

PAIRS_IN_A_ROW = 2


def sheet_of_samples(samples: Iterable[Sample], dataset: SegmentationDataset) -> Image.Image | None:
    """Draws each sample's image and beside it the same with its mask, two samples in a row, colours below.

    Args:
        samples: what to draw; each is made small before the next is taken, so that an iterator can read them one by
            one. Without any there is no sheet.
        dataset: says palette and names.
    """
    pairs = ((_image_and_overlay(sample, dataset), sample.caption) for sample in samples)
    rows = []
    for row in _batched(pairs, PAIRS_IN_A_ROW):
        rows.append(([tile for tiles, _ in row for tile in tiles], [caption for _, caption in row]))
    return _sheet(rows, dataset) if rows else None


def sheet_of_draws(drawn: Iterable[Sequence[Sample]], dataset: SegmentationDataset) -> Image.Image | None:
    """Draws two rows for each sample: its images, and below them the same with their masks.

    Args:
        drawn: of each sample the original, then what augmentation made of it, as many of every sample; taken one by
            one. Without any there is no sheet.
        dataset: says palette and names.
    """
    rows = []
    for samples in drawn:
        images, overlays = zip(*(_image_and_overlay(sample, dataset) for sample in samples), strict=True)
        rows += [(images, [sample.caption for sample in samples]), (overlays, [])]
    return _sheet(rows, dataset) if rows else None


def _batched(items: Iterable, count: int) -> Iterator[list]:
    items = iter(items)  # itertools.batched is there from Python 3.12
    while batch := list(itertools.islice(items, count)):
        yield batch


def save_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture as PNG, as a whole."""
    with written_whole(path) as temporary:
        picture.save(temporary)


def _image_and_overlay(sample: Sample, dataset: SegmentationDataset) -> tuple[Image.Image, Image.Image]:
    """Returns both at a tile's size; a large photo is made small before anything is computed of it."""
    size = shown_size(sample.labels.shape, TILE)
    image = at_size(as_rgb(sample.image), size)
    labels = np.asarray(Image.fromarray(sample.labels).resize(size[::-1], Image.Resampling.NEAREST))
    return Image.fromarray(image), Image.fromarray(overlay(image, labels, dataset.palette))


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
