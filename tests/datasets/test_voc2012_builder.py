"""The builder by itself, as TFDS's users would call it."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from segtrain.datasets.tfds_preparation import prepared
from segtrain.datasets.voc2012_builder import ARCHIVE_NAME, Voc2012Config, Voc2012Segmentation, config_of


@pytest.fixture(scope="class")
def devkit_for_tfds(request, tmp_path_factory, write_devkit):
    """Makes the example data of a `DatasetBuilderTestCase`, which has no room for fixtures."""
    root = tmp_path_factory.mktemp("devkit")
    devkit = write_devkit(root)
    if request.cls.PACKED:
        devkit.pack(root / ARCHIVE_NAME)
        shutil.rmtree(devkit.folder)
    request.cls.EXAMPLE_DIR = str(root)


@pytest.mark.usefixtures("devkit_for_tfds")
class TestUnpackedDevkit(tfds.testing.DatasetBuilderTestCase):
    PACKED = False
    DATASET_CLASS = Voc2012Segmentation
    SPLITS = {"train": 5, "val": 3}


class TestArchive(TestUnpackedDevkit):
    PACKED = True


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The data folder of one test."""
    monkeypatch.setenv("SEGTRAIN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def devkit(tmp_path, write_devkit):
    return write_devkit(tmp_path)


def prepare(data: Path, config: Voc2012Config) -> tfds.core.DatasetBuilder:
    return prepared(Voc2012Segmentation(config=config, data_dir=data, file_format="array_record"))


def examples(builder: tfds.core.DatasetBuilder) -> list[dict]:
    """Everything, in order, as TFDS itself decodes it with TensorFlow; that does not read ArrayRecord files."""
    builder.download_and_prepare()
    return [example for split in ("train", "val") for example in tfds.as_numpy(builder.as_dataset(split=split))]


def test_archive_and_folder_give_what_was_written(tmp_path, data, devkit):
    folder = devkit.folder / "VOC2012"
    sources = [devkit.pack(tmp_path / "any name.tar"), folder, devkit.folder, tmp_path]
    for source in sources:
        found = examples(Voc2012Segmentation(config=config_of(source), data_dir=data / source.name))
        written = devkit.masks["train"] | devkit.masks["val"]
        assert [example["image_id"].decode() for example in found] == list(written)
        for example, (image_id, mask) in zip(found, written.items(), strict=True):
            np.testing.assert_array_equal(example["mask"][..., 0], mask)
            with Image.open(folder / "JPEGImages" / f"{image_id}.jpg") as photo:
                # Two JPEG decoders differ by a rounding.
                np.testing.assert_allclose(example["image"], np.asarray(photo), atol=4)


def test_images_stay_the_published_bytes_and_ids_are_at_hand(data, devkit):
    builder = prepare(data, config_of(devkit.folder))
    assert {split: builder.info.metadata[split] for split in devkit.masks} == {
        split: list(masks) for split, masks in devkit.masks.items()
    }
    stored = builder.as_data_source("val", decoders={"image": tfds.decode.SkipDecoding()})
    assert len(stored) == 3
    for example in stored:
        photo = devkit.folder / "VOC2012" / "JPEGImages" / f"{example['image_id'].decode()}.jpg"
        assert example["image"] == photo.read_bytes()


def damage(devkit, part: str, how: str) -> Path:
    """Damages one file of the devkit."""
    path = devkit.folder / "VOC2012" / part
    match how:
        case "lost":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-200])
        case "empty":
            path.write_bytes(b"")
        case "colours":
            Image.open(path).convert("RGB").save(path)
        case "instances":
            Image.fromarray(np.full(Image.open(path).size[::-1], 21, np.uint8)).save(path)
        case "smaller":
            Image.open(path).resize((31, 33)).save(path)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("part", "how", "told"),
    [
        ("JPEGImages/{id}.jpg", "lost", r"is listed and missing \(1 of the 10 images"),
        ("SegmentationClass/{id}.png", "lost", r"is listed and missing \(1 of the 10 images"),
        ("SegmentationClass", "lost", r"\.png is listed and missing \(5 of the 10 images"),
        ("ImageSets/Segmentation", "lost", r"train\.txt is missing"),
        ("ImageSets/Segmentation/val.txt", "lost", r"val\.txt is missing"),
        ("ImageSets/Segmentation/val.txt", "empty", r"val\.txt lists no image"),
        ("JPEGImages/{id}.jpg", "cut", "cannot be read as an image"),
        ("JPEGImages/{id}.jpg", "empty", "cannot be read as an image"),
        ("SegmentationClass/{id}.png", "cut", "cannot be read as an image"),
        ("SegmentationClass/{id}.png", "colours", "mode RGB"),
        ("SegmentationClass/{id}.png", "instances", "label 21 is none of VOC's"),
        ("SegmentationClass/{id}.png", "smaller", r"the mask is 33x31 \(height x width\) but its image is"),
    ],
)
def test_what_is_damaged_is_named_and_nothing_counts_as_prepared(tmp_path, data, devkit, packed, part, how, told):
    part = part.format(id=list(devkit.masks["train"])[2])
    damage(devkit, part, how)
    config = config_of(devkit.pack(tmp_path / "a.tar") if packed else devkit.folder)
    with pytest.raises(ValueError, match=told) as error:
        prepare(data, config)
    assert str(error.value).startswith(str(tmp_path / "a.tar") if packed else str(devkit.folder))
    assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert not Voc2012Segmentation(config=config, data_dir=data).is_prepared()


def test_an_image_in_both_lists_is_refused(data, devkit):
    lists = devkit.folder / "VOC2012" / "ImageSets" / "Segmentation"
    leaked = list(devkit.masks["train"])[1]
    with (lists / "val.txt").open("a") as listing:
        listing.write(f"{leaked}\n")
    with pytest.raises(ValueError, match=f"{leaked} is for training and for validation"):
        prepare(data, config_of(devkit.folder))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_an_archive_that_is_cut_off_is_refused(tmp_path, data, devkit, share):
    archive = devkit.pack(tmp_path / "a.tar")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"a\.tar.*(damaged, cut off|is listed and missing|is missing)"):
        prepare(data, config_of(archive))


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + bytes(2000)])
def test_what_is_no_archive_is_refused(tmp_path, data, content):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.tar.*(no plain tar archive|is missing)"):
        prepare(data, config_of(tmp_path / "a.tar"))


def test_an_archive_reaches_nothing_outside_of_it(tmp_path, data, devkit):
    image_id = list(devkit.masks["val"])[0]
    secret = tmp_path / "secret.jpg"
    photo = devkit.folder / "VOC2012" / "JPEGImages" / f"{image_id}.jpg"
    photo.rename(secret)
    photo.symlink_to(secret)
    archive = devkit.pack(tmp_path / "a.tar")
    with tarfile.open(archive, "a") as tar:
        for name in ("../outside.txt", str(tmp_path / "absolute.txt"), "VOCdevkit/VOC2012/../../../outside.txt"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=rf"{image_id}\.jpg is listed and missing"):
        prepare(data, config_of(archive))
    assert [path for path in sorted(tmp_path.iterdir()) if path != data] == before
    assert not (tmp_path.parent / "outside.txt").exists()


def test_the_configs_name_changes_with_the_files(tmp_path, devkit):
    archive, folder = devkit.pack(tmp_path / "a.tar"), devkit.folder
    one = {config_of(archive).name, config_of(folder).name}
    assert one == {config_of(archive).name, config_of(folder).name}
    moved = archive.rename(tmp_path / "b.tar")
    assert config_of(moved).name in one  # the same file by another name
    image_id = list(devkit.masks["train"])[0]
    damage(devkit, f"SegmentationClass/{image_id}.png", "instances")
    assert {config_of(devkit.pack(moved)).name, config_of(folder).name}.isdisjoint(one)


def test_a_path_without_a_devkit_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, told in ((tmp_path / "empty", "is no folder with VOCdevkit"), (tmp_path / "none", "does not exist")):
        with pytest.raises(ValueError, match=told):
            config_of(path)
