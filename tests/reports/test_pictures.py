import dataclasses

import numpy as np
import pytest
from PIL import Image

from segtrain.reports.pictures import (
    RIGHT_COLOUR,
    VOID_COLOUR,
    WRONG_COLOUR,
    colourise,
    error_map,
    overlay,
    palette_image,
    picture_path,
    prediction_grid,
)
from segtrain.run_folder import RunFolder

PALETTE = [(10, 20, 30), (200, 100, 0), (0, 255, 1)]
LABELS = np.uint8([[0, 1, 2], [2, 255, 0]])
COLOURS = np.uint8([[PALETTE[0], PALETTE[1], PALETTE[2]], [PALETTE[2], VOID_COLOUR, PALETTE[0]]])


def test_labels_take_the_palettes_colours():
    np.testing.assert_array_equal(colourise(LABELS, PALETTE), COLOURS)


def test_a_mask_that_is_read_back_holds_ids_and_shows_colours(tmp_path):
    palette_image(LABELS, PALETTE).save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), LABELS)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), COLOURS)


def test_every_id_of_a_mask_survives(tmp_path):
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    palette_image(ids, PALETTE).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), ids)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_overlay_is_half_image_half_colour(channels):
    image = np.random.default_rng(0).integers(0, 256, (2, 3, channels), np.uint8)
    shown = {1: image.repeat(3, axis=2), 3: image, 4: image[..., :3]}[channels]
    mixed = overlay(image, LABELS, PALETTE)
    assert (mixed.shape, mixed.dtype) == ((2, 3, 3), np.uint8)
    assert np.abs(mixed - (shown / 2 + COLOURS / 2)).max() < 1


def test_errors_are_marked_and_void_is_none():
    predicted = np.uint8([[0, 2, 2], [1, 0, 0]])
    right, wrong, void = RIGHT_COLOUR, WRONG_COLOUR, VOID_COLOUR
    expected = np.uint8([[right, wrong, right], [wrong, void, right]])
    np.testing.assert_array_equal(error_map(LABELS, predicted, 255), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 300), (90, 60)])
def test_a_grid_shows_input_truth_prediction_and_errors(shapes_dataset, count, channels, height, width):
    rng = np.random.default_rng(0)
    dataset = dataclasses.replace(shapes_dataset, channels=channels)
    images = rng.integers(0, 256, (count, height, width, channels), np.uint8)
    truth, predicted = (
        rng.choice(np.uint8([0, 1, 4, 255]), images.shape[:3]),
        rng.integers(0, 5, images.shape[:3], np.uint8),
    )
    grid = prediction_grid(images, truth, predicted, names=[f"n{row}" for row in range(count)], dataset=dataset)
    sheet = np.asarray(grid)
    scale = max(1, round(224 / width))
    assert count * height * scale < sheet.shape[0] < count * (height * scale + 40) + 160
    assert 4 * width * scale < sheet.shape[1] < 4 * (width * scale + 16) + 16
    # Every tile stands somewhere, a row each, with whole squares for pixels.
    top = 0
    for row in range(count):
        tiles = [
            images[row].repeat(3, axis=2) if channels == 1 else images[row],
            colourise(truth[row], dataset.palette),
            colourise(predicted[row], dataset.palette),
            error_map(truth[row], predicted[row], 255),
        ]
        tiles = [tile.repeat(scale, axis=0).repeat(scale, axis=1) for tile in tiles]
        places = [find(sheet, tile) for tile in tiles]
        assert len({place[0] for place in places}) == 1
        assert places[0][0] >= top
        lefts = [place[1] for place in places]
        assert lefts == sorted(lefts)
        assert min(np.diff(lefts)) > width * scale
        top = places[0][0] + height * scale


def find(sheet, tile):
    """Returns the one place of a tile in the sheet."""
    height, width = tile.shape[:2]
    places = np.argwhere((sheet[: 1 - height, : 1 - width] == tile[0, 0]).all(axis=2))
    for y, x in np.random.default_rng(0).integers(0, (height, width), (40, 2)):  # a few pixels leave few places
        places = places[(sheet[places[:, 0] + y, places[:, 1] + x] == tile[y, x]).all(axis=1)]
    places = [(y, x) for y, x in places if (sheet[y : y + height, x : x + width] == tile).all()]
    assert len(places) == 1
    return places[0]


def test_images_of_many_sizes_share_a_tile(shapes_dataset):
    """Each is enlarged to the tile with its own aspect ratio, and stands in its middle."""
    rng = np.random.default_rng(0)
    shapes = [(56, 112), (56, 28), (28, 112)]  # a tile is 112x224
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    masks = [rng.integers(0, 5, shape, np.uint8) for shape in shapes]
    grid = prediction_grid(images, masks, masks, names="abc", dataset=shapes_dataset)
    places = [find(np.asarray(grid), image.repeat(2, axis=0).repeat(2, axis=1)) for image in images]
    (first, left), (second, second_left), (third, third_left) = places
    assert (second - first, third - second) == (140, 140 + 28)
    assert (second_left - left, third_left - left) == ((224 - 56) // 2, 0)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((1000, 2000), (320, 640)), ((4000, 1600), (1280, 512)), ((4000, 100), (1280, 32)), ((30000, 600), (1280, 26))],
)
def test_large_images_are_shown_smaller(shapes_dataset, shape, shown):
    """Four tiles of a photo's own size would be a page of forty thousand pixels, and one of a scan as high."""
    left_half = np.zeros(shape, np.uint8)
    left_half[:, : shape[1] // 2] = 3
    image = np.full((*shape, 3), (10, 200, 90), np.uint8)
    grid = np.asarray(prediction_grid([image], [left_half], [left_half], names="a", dataset=shapes_dataset))
    height, width = shown
    assert grid.shape[1] == 4 * (width + 8) + 8
    assert grid.shape[0] >= 28 + height + 28 + 20 + 8  # a narrow sheet has more lines of colours
    np.testing.assert_array_equal(
        grid[28 : 28 + height, 8 : 8 + width], np.broadcast_to((10, 200, 90), (height, width, 3))
    )
    truth = grid[28 : 28 + height, width + 16 : 2 * width + 16]
    half = width // 2
    np.testing.assert_array_equal(truth[:, :half], np.broadcast_to(shapes_dataset.palette[3], (height, half, 3)))
    np.testing.assert_array_equal(truth[:, half:], np.broadcast_to(shapes_dataset.palette[0], (height, half, 3)))


def test_the_grid_has_a_legend_of_all_classes(shapes_dataset):
    """Many classes go on in further lines; their colours are found below the last row."""
    palette = [(class_id, 255 - class_id, 77) for class_id in range(40)]
    names = [f"a_rather_long_name_{class_id}" for class_id in range(40)]
    dataset = dataclasses.replace(shapes_dataset, class_names=names, palette=palette)
    blank = np.full((1, 32, 32), 255, np.uint8)
    sheet = np.asarray(prediction_grid(blank[..., None].repeat(3, axis=3), blank, blank, names=["n"], dataset=dataset))
    below = sheet[32 * 7 + 28 :].reshape(-1, 3)
    counts = [(below == colour).all(axis=1).sum() for colour in palette]
    assert min(counts) > 50


def test_pictures_are_named_by_epoch(tmp_path):
    assert picture_path(RunFolder(tmp_path), 7) == tmp_path / "predictions" / "epoch_007.png"
