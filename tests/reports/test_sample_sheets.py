import weakref

import numpy as np
import pytest
from PIL import Image

from segtrain.reports.pictures import overlay
from segtrain.reports.sample_sheets import Sample, save_picture, sheet_of_draws, sheet_of_samples

# Colours that nothing else on a sheet has.
BLUE, GREEN = (11, 22, 233), (12, 213, 34)


def plain(height, width, colour=BLUE, channels=3, caption="name"):
    pixels = np.empty((height, width, channels), np.uint8)
    pixels[:] = np.resize(colour, channels)
    return Sample(caption, pixels, np.ones((height, width), np.uint8))


def extent(sheet, colour):
    """Returns top, left, bottom and right of the pixels of a colour."""
    there = np.argwhere((np.asarray(sheet) == colour).all(axis=2))
    return (*there.min(axis=0), *(there.max(axis=0) + 1))


def test_each_sample_has_its_image_and_beside_it_the_overlay(shapes_dataset):
    first, second, third = (plain(32, 32, colour) for colour in (BLUE, GREEN, (201, 2, 203)))
    sheet = sheet_of_samples([first, second, third], shapes_dataset)
    places = [extent(sheet, sample.image[0, 0]) for sample in (first, second, third)]
    mixed = [extent(sheet, overlay(s.image, s.labels, shapes_dataset.palette)[0, 0]) for s in (first, second, third)]
    for (top, left, bottom, right), (over_top, over_left, over_bottom, _) in zip(places, mixed, strict=True):
        assert (bottom - top, right - left) == (224, 224)  # whole multiples of 32
        assert (over_top, over_bottom) == (top, bottom)
        assert over_left > right
    assert places[0][0] == places[1][0] < places[2][0]  # two in a row
    assert places[0][1] == places[2][1] < places[1][1]


@pytest.mark.parametrize(
    ("size", "shown"),
    [((32, 32), (224, 224)), ((33, 50), (132, 200)), ((1, 1), (224, 224)), ((360, 480), (168, 224)),
     ((4000, 20), (448, 2)), ((20, 4000), (1, 224)), ((450, 225), (448, 224)), ((3000, 4000), (168, 224))],
)  # fmt: skip
def test_an_image_keeps_its_shape_and_fits_a_tile(shapes_dataset, size, shown):
    sheet = sheet_of_samples([plain(*size)], shapes_dataset)
    top, left, bottom, right = extent(sheet, BLUE)
    assert (bottom - top, right - left) == shown
    assert sheet.width < 500


def test_a_pixel_of_a_small_image_stays_a_square(shapes_dataset):
    image = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
    sheet = np.asarray(sheet_of_samples([Sample("a", image, np.zeros((8, 16), np.uint8))], shapes_dataset))
    tile = sheet[8 : 8 + 8 * 14, 8 : 8 + 16 * 14]
    np.testing.assert_array_equal(tile, image.repeat(14, axis=0).repeat(14, axis=1))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_number_of_channels_is_shown(shapes_dataset, channels):
    sample = plain(20, 30, channels=channels)
    shown = sample.image[0, 0, :3] if channels > 2 else sample.image[0, 0, :1].repeat(3)
    tile = np.asarray(sheet_of_samples([sample], shapes_dataset))[8 : 8 + 20 * 7, 8 : 8 + 30 * 7]
    assert (tile == shown).all()


def test_draws_stand_beside_the_original_and_their_masks_below(shapes_dataset):
    drawn = [[plain(32, 48), plain(32, 48, GREEN, caption="epoch 1"), plain(32, 48, (201, 2, 203))]]
    sheet = sheet_of_draws(drawn, shapes_dataset)
    places = [extent(sheet, sample.image[0, 0]) for sample in drawn[0]]
    assert len({top for top, *_ in places}) == 1
    assert [left for _, left, *_ in places] == sorted({left for _, left, *_ in places})
    for sample, (_, left, bottom, right) in zip(drawn[0], places, strict=True):
        below = extent(sheet, overlay(sample.image, sample.labels, shapes_dataset.palette)[0, 0])
        assert below[0] > bottom
        assert (below[1], below[3]) == (left, right)


def test_captions_are_written_and_cut_to_their_room(shapes_dataset):
    """Two samples that differ in their captions alone make different sheets, and a long one stays in its place."""
    sheets = [
        np.asarray(sheet_of_samples([plain(32, 32, caption=name), plain(32, 32, caption="b")], shapes_dataset))
        for name in ("a", "c", "x" * 500, "y" * 500)
    ]
    assert (sheets[0] != sheets[1]).any()
    assert (sheets[2] != sheets[3]).any()
    differ = np.argwhere((sheets[2] != sheets[3]).any(axis=2))
    assert differ[:, 1].max() < 2 * (224 + 8)
    assert len({sheet.shape for sheet in sheets}) == 1


def test_a_sheet_is_written_whole(shapes_dataset, tmp_path):
    sheet = sheet_of_samples([plain(32, 32)], shapes_dataset)
    save_picture(sheet, tmp_path / "samples.png")
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]
    with Image.open(tmp_path / "samples.png") as written:
        np.testing.assert_array_equal(np.asarray(written), np.asarray(sheet))


def test_each_sample_is_made_small_before_the_next_but_one_is_read(shapes_dataset):
    """Sixteen photos of 48 megapixels at once would take 2 GB."""
    images, alive = [], []

    def photos():
        for _ in range(16):
            sample = plain(300, 400)
            images.append(weakref.ref(sample.image))
            yield sample
            del sample
            alive.append(sum(image() is not None for image in images))

    assert sheet_of_samples(photos(), shapes_dataset) is not None
    assert sheet_of_draws(([photo, photo] for photo in photos()), shapes_dataset) is not None
    assert len(images) == len(alive) == 32
    assert max(alive) <= 1


def test_without_samples_there_is_no_sheet(shapes_dataset):
    assert sheet_of_samples([], shapes_dataset) is None
    assert sheet_of_draws([], shapes_dataset) is None
