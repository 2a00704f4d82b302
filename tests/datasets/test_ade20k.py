import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets import ade20k_builder
from segtrain.datasets.ade20k import build_ade20k

IMAGES = {
    "training": ["ADE_train_00000001", "ADE_train_00000002", "ADE_train_00000003"],
    "validation": ["ADE_val_00000001", "ADE_val_00000002"],
}


def pixels_of(image_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns an image and the values of its mask, each of 0..150 at least once."""
    rng = np.random.default_rng(list(image_id.encode()))
    values = rng.integers(0, 151, (13, 17), np.uint8)
    values.flat[:151] = range(151)
    return np.broadcast_to(rng.integers(0, 256, 3, np.uint8), (13, 17, 3)), values


def encoded(pixels: np.ndarray, file_format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, file_format)
    return file.getvalue()


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    """An archive in the published layout, which counts as the published one."""
    path = tmp_path / "ADEChallengeData2016.zip"
    with zipfile.ZipFile(path, "w") as files:
        for folder, image_ids in IMAGES.items():
            files.mkdir(f"ADEChallengeData2016/images/{folder}")
            for image_id in image_ids:
                image, values = pixels_of(image_id)
                files.writestr(f"ADEChallengeData2016/images/{folder}/{image_id}.jpg", encoded(image, "JPEG"))
                files.writestr(f"ADEChallengeData2016/annotations/{folder}/{image_id}.png", encoded(values, "PNG"))
        files.writestr("ADEChallengeData2016/objectInfo150.txt", "")
    monkeypatch.setattr(ade20k_builder, "SHA1", hashlib.sha1(path.read_bytes()).hexdigest())
    return path


@pytest.mark.usefixtures("data")
def test_values_1_to_150_become_classes_and_0_void(archive):
    dataset = build_ade20k(archive=str(archive))
    dataset.check()
    assert set(dataset.splits) == {"train", "val"}
    for split, folder in (("train", "training"), ("val", "validation")):
        samples = dataset.split(split)
        assert sorted(samples.name(index) for index in range(len(samples))) == IMAGES[folder]
        for index in range(len(samples)):
            expected, values = pixels_of(samples.name(index))
            image, labels = samples.read(index)
            assert np.abs(image.astype(int) - expected).max() <= 4
            np.testing.assert_array_equal(labels, [[255 if v == 0 else v - 1 for v in row] for row in values.tolist()])


@pytest.mark.usefixtures("data")
def test_the_classes_are_the_benchmarks(archive):
    names = build_ade20k(archive=str(archive)).class_names
    assert (len(names), len(set(names))) == (150, 150)
    # Lines 1, 13, 76, 124 and 150 of objectInfo150.txt.
    assert [names[line - 1] for line in (1, 13, 76, 124, 150)] == [
        "wall",
        "person",
        "swivel chair",
        "trade name",
        "flag",
    ]


def test_prepared_data_needs_no_archive(archive, data):
    build_ade20k(archive=str(archive))
    archive.unlink()
    assert len(build_ade20k().split("train")) == 3
    assert len(build_ade20k(archive=str(archive)).split("val")) == 2


@pytest.mark.usefixtures("data")
def test_another_archive_is_refused(archive):
    with archive.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match=f"^{archive} is another file than the published ADEChallengeData2016.zip"):
        build_ade20k(archive=str(archive))


@pytest.mark.usefixtures("data")
def test_an_archive_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match=f"^dataset.archive={tmp_path}/a.zip: there is no such file"):
        build_ade20k(archive=str(tmp_path / "a.zip"))


@pytest.mark.usefixtures("data", "no_network")
def test_without_a_network_the_archive_is_named():
    with pytest.raises(
        ValueError, match=r"no answer from http://data.csail.mit.edu/.*ADEChallengeData2016.zip"
    ) as raised:
        build_ade20k()
    assert ade20k_builder.SHA1 in str(raised.value)
    assert "dataset.archive=" in str(raised.value)
