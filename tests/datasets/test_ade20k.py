import dataclasses
import functools
import hashlib
import http.server
import io
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets import ade20k, ade20k_builder
from segtrain.datasets.ade20k import build_ade20k
from segtrain.datasets.problems import BadSampleError

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
    know(path, monkeypatch)
    return path


def know(archive: Path, monkeypatch, *addresses: str) -> None:
    """Has an archive taken for the published one."""
    checksum = f"sha1:{hashlib.sha1(archive.read_bytes()).hexdigest()}"
    published = dataclasses.replace(ade20k_builder.ARCHIVE, checksum=checksum, addresses=addresses)
    for module in (ade20k, ade20k_builder):
        monkeypatch.setattr(module, "ARCHIVE", published)


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
    with pytest.raises(ValueError, match=rf"^{archive} \(\d,\d+ bytes\) is another file than the published ADE"):
        build_ade20k(archive=str(archive))


@pytest.mark.usefixtures("data")
def test_an_archive_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match=f"^dataset.archive={tmp_path}/a.zip: there is no such file"):
        build_ade20k(archive=str(tmp_path / "a.zip"))


@pytest.mark.usefixtures("data", "no_network")
def test_without_a_network_the_archive_is_named():
    with pytest.raises(OSError, match=r"from http://data.csail.mit.edu/.*ADEChallengeData2016.zip") as raised:
        build_ade20k()
    assert ade20k_builder.ARCHIVE.checksum.removeprefix("sha1:") in str(raised.value)
    assert "dataset.archive=" in str(raised.value)


def test_what_a_server_gave_in_its_place_is_forgotten(archive, data, tmp_path, monkeypatch):
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        know(archive, monkeypatch, f"http://127.0.0.1:{server.server_port}/{archive.name}")
        (served / archive.name).write_text("<html>Sign in to this network.</html>")
        with pytest.raises(OSError, match="its content is another"):
            build_ade20k()
        archive.replace(served / archive.name)
        assert len(build_ade20k().split("train")) == 3
        server.shutdown()
    # What has been downloaded needs no server, should it have to be prepared anew.
    shutil.rmtree(data / "tensorflow_datasets")
    assert len(build_ade20k().split("train")) == 3


@pytest.mark.usefixtures("data")
def test_a_value_that_is_no_class_is_told_as_it_is_stored(monkeypatch, archive):
    with zipfile.ZipFile(archive, "a") as files:
        files.writestr(
            "ADEChallengeData2016/images/validation/wrong.jpg", encoded(np.zeros((2, 3, 3), np.uint8), "JPEG")
        )
        mask = encoded(np.uint8([[0, 150, 0], [0, 0, 151]]), "PNG")
        files.writestr("ADEChallengeData2016/annotations/validation/wrong.png", mask)
    know(archive, monkeypatch)
    with pytest.raises(BadSampleError, match=r"n, wrong: the mask holds 151 at row 1, column 2\. .* 0\.\.150\."):
        build_ade20k(archive=str(archive)).check()
