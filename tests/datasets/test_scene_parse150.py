import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.ade20k import CLASS_NAMES as PARSING_CLASSES
from segtrain.datasets.problems import BadSampleError
from segtrain.datasets.scene_parse150 import CLASS_NAMES, build_scene_parse150

IMAGES = {"training": ["ADE_train_00000001", "ADE_train_00000002"], "validation": ["ADE_val_00000001"]}


def annotation_of(image_id: str) -> np.ndarray:
    """Returns a mask as the instance challenge has them: red the category, green the instance, blue nothing."""
    rng = np.random.default_rng(list(image_id.encode()))
    values = np.zeros((12, 15, 3), np.uint8)
    values[..., 0] = rng.integers(0, 101, (12, 15))
    values[..., 0].flat[:101] = range(101)
    values[..., 1] = rng.integers(1, 256, (12, 15))
    return values


def add(archive: tarfile.TarFile, name: str, pixels: np.ndarray, file_format: str) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format)
    member = tarfile.TarInfo(name)
    member.size = file.tell()
    file.seek(0)
    archive.addfile(member, file)


@pytest.fixture
def folder(tmp_path, know_archives, data):
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    with (
        tarfile.open(fetched / "images.tar", "w") as images,
        tarfile.open(fetched / "annotations_instance.tar", "w") as annotations,
    ):
        for split, image_ids in IMAGES.items():
            for image_id in image_ids:
                annotation = annotation_of(image_id)
                # An image to find its annotation by: all of it has the sum of the categories.
                grey = np.full((12, 15, 3), int(annotation[..., 0].sum()) % 256, np.uint8)
                add(images, f"images/{split}/{image_id}.jpg", grey, "JPEG")
                add(annotations, f"annotations_instance/{split}/{image_id}.png", annotation, "PNG")
    know_archives("scene_parse150", fetched)
    return str(fetched)


@pytest.mark.parametrize(("other", "label"), [("class", 100), ("ignore", 255)])
def test_red_is_the_class(folder, other, label):
    dataset = build_scene_parse150(manual_folder=folder, other=other)
    dataset.check()
    for split, of_tfds in (("train", "training"), ("val", "validation")):
        expected = {}
        for image_id in IMAGES[of_tfds]:
            category = annotation_of(image_id)[..., 0]
            expected[int(category.sum()) % 256] = [
                [label if v == 0 else v - 1 for v in row] for row in category.tolist()
            ]
        samples = dataset.split(split)
        assert len(samples) == len(expected) == len(IMAGES[of_tfds])
        for index in range(len(samples)):
            image, labels = samples.read(index)
            np.testing.assert_array_equal(labels, expected[int(image[0, 0, 0])])
    assert dataset.num_classes == (101 if other == "class" else 100)


def test_a_category_above_100_is_told_as_it_is_stored(folder, tmp_path, know_archives):
    with tarfile.open(f"{folder}/annotations_instance.tar", "w") as annotations:
        for split, image_ids in IMAGES.items():
            for image_id in image_ids:
                annotation = np.full((12, 15, 3), 101, np.uint8)
                add(annotations, f"annotations_instance/{split}/{image_id}.png", annotation, "PNG")
    know_archives("scene_parse150", tmp_path / "fetched")
    with pytest.raises(BadSampleError, match=r"the mask holds 101 at row 0, column 0\. .* have to be 0\.\.100\."):
        build_scene_parse150(manual_folder=folder).check()


def test_the_things_are_classes_of_scene_parsing_in_the_same_order():
    assert len(CLASS_NAMES) == 100
    places = [PARSING_CLASSES.index({"television receiver": "television"}.get(name, name)) for name in CLASS_NAMES]
    assert places == sorted(places)
