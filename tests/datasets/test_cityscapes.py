import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.cityscapes import build_cityscapes

# The published table of ids that are scored, in the order of their train ids.
TRAIN_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
SIZE = (24, 48)
IMAGES = {
    "train": ["aachen_000000_000019", "aachen_000001_000019", "bad-honnef_000000_000100"],
    "val": ["munster_000002_000019"],
    "test": ["berlin_000003_000019"],
}


def pixels_of(image_id: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(len(image_id))
    ids = rng.integers(0, 34, SIZE, np.uint8)
    ids.flat[:35] = [*range(34), 255]  # every id once, and the -1 of licence plates as 8 bits hold it
    return rng.integers(0, 256, (*SIZE, 3), np.uint8), ids


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def archives(tmp_path) -> Path:
    """The two archives in the published layout, with what else is in them."""
    folder = tmp_path / "fetched by hand"
    folder.mkdir()
    with (
        zipfile.ZipFile(folder / "leftImg8bit_trainvaltest.zip", "w") as images,
        zipfile.ZipFile(folder / "gtFine_trainvaltest.zip", "w") as labels,
    ):
        for split, image_ids in IMAGES.items():
            for image_id in image_ids:
                image, ids = pixels_of(image_id)
                place = f"{split}/{image_id.partition('_')[0]}/{image_id}"
                images.writestr(f"leftImg8bit/{place}_leftImg8bit.png", encoded(image))
                labels.writestr(f"gtFine/{place}_gtFine_labelIds.png", encoded(ids))
                labels.writestr(f"gtFine/{place}_gtFine_color.png", encoded(image))
                labels.writestr(f"gtFine/{place}_gtFine_polygons.json", "{}")
        images.writestr("README", "")
    return folder


@pytest.mark.usefixtures("data")
def test_label_ids_become_train_ids(archives):
    dataset = build_cityscapes(manual_folder=str(archives))
    dataset.check()
    assert set(dataset.splits) == {"train", "val"}
    for split in ("train", "val"):
        samples = dataset.split(split)
        assert sorted(samples.name(index) for index in range(len(samples))) == IMAGES[split]
        for index in range(len(samples)):
            expected_image, ids = pixels_of(samples.name(index))
            image, labels = samples.read(index)
            np.testing.assert_array_equal(image, expected_image)
            expected = [[TRAIN_IDS.index(id_) if id_ in TRAIN_IDS else 255 for id_ in row] for row in ids]
            np.testing.assert_array_equal(labels, expected)
    assert (dataset.num_classes, len(set(dataset.palette)), dataset.ignore_label) == (19, 19, 255)
    assert (dataset.class_names[0], dataset.class_names[18]) == ("road", "bicycle")


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("there", [None, "leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"])
def test_archives_that_are_missing_are_named(archives, there):
    for path in archives.iterdir():
        if path.name != there:
            path.unlink()
    with pytest.raises(ValueError, match="www.cityscapes-dataset.com") as raised:
        build_cityscapes(manual_folder=str(archives))
    said = str(raised.value)
    for words in ("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip", "dataset.manual_folder=FOLDER"):
        assert words in said
    missing = sorted({"leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"} - {there}, reverse=True)
    assert said.endswith(f" Not in {archives}: {', '.join(missing)}.")


@pytest.mark.usefixtures("data")
def test_without_a_folder_the_option_is_named():
    with pytest.raises(ValueError, match="gtFine_trainvaltest.zip.*type dataset.manual_folder=FOLDER"):
        build_cityscapes()
