import io
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.oxford_iiit_pet import build_oxford_iiit_pet
from segtrain.datasets.problems import BadSampleError

# A smooth picture, which JPEG changes little.
RAMP = np.stack(np.broadcast_arrays(np.arange(48)[:, None] * 4, np.arange(64)[None] * 3, 90), -1).astype(np.uint8)
JPEG = {"format": "JPEG", "quality": 95}


def encoded(mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RAMP).convert(mode).save(file, **options)
    return file.getvalue()


def noisy() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, RAMP.shape, np.uint8)).save(file, **JPEG)
    return file.getvalue()


# All of these are called .jpg in the published set. TFDS itself decodes the two whose names it lists, and writes them
# anew as JPEG.
TRAIN = {
    "Abyssinian_1": encoded(**JPEG),
    "Bengal_2": encoded("RGBA", format="PNG"),
    "Birman_3": encoded("P", format="GIF"),
    "Bombay_4": encoded(format="BMP"),
    "boxer_5": encoded("L", **JPEG),
    "pug_6": encoded("CMYK", **JPEG),
    "Sphynx_7": encoded(**JPEG) + b"\0\0garbage",
    "Siamese_8": noisy()[:-500],
    "Egyptian_Mau_14": encoded("RGBA", format="PNG"),
    "beagle_116": encoded(**JPEG),
}
TEST = {"Abyssinian_9": encoded(**JPEG), "samoyed_10": encoded("L", format="PNG"), "havanese_11": encoded(**JPEG)}


def trimap_of(name: str) -> np.ndarray:
    return np.random.default_rng(len(name)).integers(1, 4, RAMP.shape[:2], np.uint8)


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def write_archives(tmp_path, know_archives):
    """Writes the two archives in the published layout; returns their folder."""

    def write(train=TRAIN, test=TEST) -> Path:
        folder = tmp_path / "fetched"
        folder.mkdir(exist_ok=True)
        with tarfile.open(folder / "images.tar.gz", "w:gz") as images:
            for name, content in (train | test).items():
                add(images, f"images/{name}.jpg", content)
        with tarfile.open(folder / "annotations.tar.gz", "w") as annotations:  # the published one is not compressed
            for name in train | test:
                png = io.BytesIO()
                Image.fromarray(trimap_of(name)).save(png, "PNG")
                add(annotations, f"annotations/trimaps/{name}.png", png.getvalue())
            for listing, names in (("trainval", train), ("test", test)):
                lines = "".join(f"{name} {1 + place} 1 1\n" for place, name in enumerate(names))
                add(annotations, f"annotations/{listing}.txt", lines.encode())
        know_archives("oxford_iiit_pet", folder)
        return folder

    return write


@pytest.fixture
def build(data, write_archives):
    folder = write_archives()
    return lambda **options: build_oxford_iiit_pet(manual_folder=str(folder), **options)


def by_name(split) -> dict:
    return {split.name(index): split.read(index) for index in range(len(split))}


def test_every_image_is_there_with_its_labels(build):
    dataset = build()
    dataset.check()
    train, val = by_name(dataset.split("train")), by_name(dataset.split("val"))
    assert (set(train), set(val), set(dataset.splits)) == (set(TRAIN), set(TEST), {"train", "val"})
    for name, (image, labels) in (train | val).items():
        assert (image.shape, image.dtype) == (RAMP.shape, np.uint8)
        np.testing.assert_array_equal(labels, trimap_of(name) - 1)
    assert dataset.class_names == ("pet", "background", "border")
    assert len(dataset.palette) == 3


def test_files_that_are_no_jpegs_are_read(build):
    images = {name: image for name, (image, _) in by_name(build().split("train")).items()}
    as_written = Image.fromarray(RAMP)
    for name, mode in {"Bengal_2": "RGB", "Bombay_4": "RGB", "Birman_3": "P"}.items():
        np.testing.assert_array_equal(images[name], np.asarray(as_written.convert(mode).convert("RGB")))
    for name, mode in {
        "Abyssinian_1": "RGB",
        "boxer_5": "L",
        "pug_6": "CMYK",
        "Sphynx_7": "RGB",
        "Egyptian_Mau_14": "RGB",
        "beagle_116": "RGB",
    }.items():
        expected = np.asarray(as_written.convert(mode).convert("RGB")).astype(int)
        assert np.abs(images[name] - expected).max() < 12, name
    whole = np.asarray(Image.open(io.BytesIO(noisy()))).astype(int)
    assert (images["Siamese_8"] == whole).all(axis=(1, 2))[:16].all()
    assert not (images["Siamese_8"] == whole).all()


def test_the_rim_may_be_void(build):
    dataset = build(border="ignore")
    dataset.check()
    assert (dataset.class_names, dataset.ignore_label) == (("pet", "background"), 255)
    for name, (_, labels) in by_name(dataset.split("val")).items():
        np.testing.assert_array_equal(labels, np.array([99, 0, 1, 255])[trimap_of(name)])


def test_a_share_of_the_training_images_validates(build):
    dataset = build(val_share=0.3)
    names = {split: set(by_name(samples)) for split, samples in dataset.splits.items()}
    assert {split: len(found) for split, found in names.items()} == {"train": 7, "val": 3, "test": 3}
    assert names["train"] | names["val"] == set(TRAIN)
    assert names["test"] == set(TEST)


@pytest.mark.parametrize(("val_share", "num_val"), [(0.01, 1), (0.99, 9)])
def test_both_parts_have_an_image(build, val_share, num_val):
    dataset = build(val_share=val_share)
    assert (len(dataset.split("val")), len(dataset.split("train"))) == (num_val, 10 - num_val)


@pytest.mark.usefixtures("data")
def test_a_file_of_which_nothing_can_be_read_is_named(write_archives):
    folder = write_archives(train=TRAIN | {"keeshond_12": b"<html>404</html>"})
    dataset = build_oxford_iiit_pet(manual_folder=str(folder))
    with pytest.raises(ValueError, match="^oxford_iiit_pet/4.0.0 train, keeshond_12: cannot be read as image"):
        dataset.check()


@pytest.mark.usefixtures("data")
def test_a_wrong_trimap_is_told_as_it_is_stored(write_archives, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "trimap_of", lambda name: np.full(RAMP.shape[:2], 4, np.uint8))
    dataset = build_oxford_iiit_pet(manual_folder=str(write_archives()))
    with pytest.raises(BadSampleError, match=r"the mask holds 4 at row 0, column 0\. .* have to be 1\.\.3\."):
        dataset.check()


def test_nothing_is_taken_from_other_archives_of_the_same_names(write_archives, data):
    build_oxford_iiit_pet(manual_folder=str(write_archives()))
    folder = data / "tensorflow_datasets"
    assert [path for path in folder.rglob("*") if path.suffix in (".jpg", ".png")] == []  # nothing unpacked is left
    shutil.rmtree(folder / "oxford_iiit_pet")
    others = dict.fromkeys(("Persian_1", "Persian_2"), TRAIN["Bombay_4"])
    dataset = build_oxford_iiit_pet(manual_folder=str(write_archives(train=others)))
    assert set(by_name(dataset.split("train"))) == set(others)


def test_a_second_build_needs_the_archives_no_more(build):
    first = by_name(build().split("train"))
    again = by_name(build_oxford_iiit_pet().split("train"))
    assert first.keys() == again.keys()
    assert all((first[name][0] == again[name][0]).all() for name in first)
