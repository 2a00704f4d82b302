import io
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from segtrain import cli
from segtrain.datasets.problems import BadSampleError
from segtrain.datasets.tfds import build_tfds
from segtrain.parts import open_dataset

COUNT = 10
SPLITS = {
    "alone": ["train"],
    "tested": ["train", "test"],
    "validated": ["train", "test", "validation"],
    "odd": ["first", "second"],
}


def image_of(split: str, number: int) -> np.ndarray:
    return np.random.default_rng([len(split), number]).integers(0, 256, (5, 6, 3), np.uint8)


def mask_of(split: str, number: int) -> np.ndarray:
    values = np.random.default_rng([len(split), number]).choice(np.uint8([0, 1, 2, 3, 9, 255]), (5, 6))
    values.flat[:4] = 0, 1, 2, 3
    return values


def two_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).choice(np.uint8([0, 255]), (5, 6))


def encoded(pixels: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return io.BytesIO(file.getvalue())


class PictureBook(tfds.core.GeneratorBasedBuilder):
    """A dataset that TFDS knows while these tests run: a config for each set of splits."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in SPLITS]

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "picture": tfds.features.Image(),
                    "labels": {
                        "mask": tfds.features.Image(shape=(None, None, 1)),
                        "empty": tfds.features.Image(),
                        "two": tfds.features.Image(shape=(None, None, 1)),
                        "deep": tfds.features.Image(dtype=np.uint16),
                        "file": tfds.features.Text(),
                    },
                    "depth": tfds.features.Image(shape=(None, None, 1), dtype=np.float32),
                    "number": np.int64,
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SPLITS[self.builder_config.name]}

    def _generate_examples(self, split):
        for number in range(COUNT):
            yield (
                f"{split}_{number}",
                {
                    "picture": encoded(image_of(split, number)),
                    "labels": {
                        "mask": encoded(mask_of(split, number)),
                        "empty": encoded(np.full((5, 6, 3), 255 * (number % 2), np.uint8)),
                        "two": encoded(two_of(number)),
                        "deep": np.zeros((5, 6, 3), np.uint16),
                        "file": f"{split}.{number}",
                    },
                    "depth": np.zeros((5, 6, 1), np.float32),
                    "number": number,
                },
            )


pytestmark = pytest.mark.usefixtures("data")


def build(config="tested", **changes):
    arguments = {"image_key": "picture", "mask_key": "labels/mask", "ignore_label": 9}
    return build_tfds(name=f"picture_book/{config}", **(arguments | changes))


def images_in(dataset, split: str) -> set[bytes]:
    samples = dataset.split(split)
    return {samples.read(index)[0].tobytes() for index in range(len(samples))}


def written(split: str) -> set[bytes]:
    return {image_of(split, number).tobytes() for number in range(COUNT)}


@pytest.mark.parametrize("key", ["labels/mask", "labels.mask"])
def test_images_and_masks_are_those_of_the_keys(key):
    dataset = build(mask_key=key)
    dataset.check()
    masks = {image_of("train", number).tobytes(): mask_of("train", number) for number in range(COUNT)}
    samples = dataset.split("train")
    assert len(samples) == COUNT
    for index in range(COUNT):
        image, labels = samples.read(index)
        expected = masks[image.tobytes()]
        np.testing.assert_array_equal(labels, np.where(expected == 9, 255, expected))
    assert (dataset.name, dataset.ignore_label) == ("picture_book", 255)
    assert dataset.class_names == ["class_0", "class_1", "class_2", "class_3"]


def test_an_offset_makes_class_ids_begin_at_0():
    dataset = build(label_offset=1, classes=["one", "two", "three"])
    dataset.check()
    samples = dataset.split("train")
    masks = {image_of("train", number).tobytes(): mask_of("train", number) for number in range(COUNT)}
    meaning = {0: 255, 1: 0, 2: 1, 3: 2, 9: 255, 255: 255}
    for index in range(COUNT):
        image, labels = samples.read(index)
        np.testing.assert_array_equal(labels, [[meaning[value] for value in row] for row in masks[image.tobytes()]])


def test_a_value_that_is_no_class_is_refused():
    with pytest.raises(
        ValueError,
        match=r"tested/1.0.0 train, 00\d+: the mask holds 3 at row 0, column 3\. .* 0\.\.2, 9, 255",
    ):
        build(classes=["a", "b", "c"]).check()


def test_a_wrong_value_is_told_as_it_is_stored():
    with pytest.raises(BadSampleError, match=r"the mask holds 3 at .* have to be 0\.\.2, 9, 255\.") as raised:
        build(classes=["one", "two"], label_offset=1).check()
    assert raised.value.kind == "wrong_label"


def test_binary_masks_hold_0_and_255():
    dataset = build(mask_key="labels/two", mask="binary")
    dataset.check()
    assert dataset.class_names == ["background", "object"]
    images = {image_of("train", number).tobytes(): two_of(number) for number in range(COUNT)}
    samples = dataset.split("train")
    assert len(samples) == COUNT
    for index in range(COUNT):
        image, labels = samples.read(index)
        np.testing.assert_array_equal(labels, images[image.tobytes()] == 255)
    with pytest.raises(ValueError, match=r"the mask holds \d .* have to be 0, 255\."):
        build(mask="binary", ignore_label=255).check()


def test_samples_may_have_names():
    for key in ("labels/file", "labels.file"):
        samples = build(name_key=key).split("train")
        assert {samples.name(index) for index in range(COUNT)} == {f"train.{number}" for number in range(COUNT)}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("tested", {"train": ["train"], "val": ["test"]}),
        ("validated", {"train": ["train"], "val": ["validation"], "test": ["test"]}),
    ],
)
def test_splits_are_those_of_tfds(config, expected):
    dataset = build(config)
    assert set(dataset.splits) == set(expected)
    for split, (source,) in expected.items():
        assert images_in(dataset, split) == written(source)


def test_a_fifth_validates_where_there_is_no_split_for_it():
    dataset = build("alone")
    train, val = images_in(dataset, "train"), images_in(dataset, "val")
    assert (len(train), len(val)) == (8, 2)
    assert train | val == written("train")


@pytest.mark.parametrize(
    ("train_split", "val_split", "expected"),
    [
        ("train+test", "validation", {"train", "val"}),
        ("train", "validation+test[:1]", {"train", "val"}),
        ("test[:50%]", "test[50%:]", {"train", "val"}),
        ("train", "train[:0]+validation", {"train", "val", "test"}),
    ],
)
def test_a_test_split_holds_nothing_that_was_trained_or_validated_on(train_split, val_split, expected):
    dataset = build("validated", train_split=train_split, val_split=val_split)
    assert set(dataset.splits) == expected
    seen = [images_in(dataset, split) for split in dataset.splits]
    assert sum(map(len, seen)) == len(set().union(*seen))


def test_slices_are_typed_as_they_are_shown(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["segtrain"])
    built = []
    monkeypatch.setattr(
        "segtrain.verbs.train.train", lambda settings, invocation: built.append(open_dataset(settings.dataset))
    )
    line = "dataset=tfds dataset.name=picture_book/alone dataset.image_key=picture dataset.mask_key=labels/mask"
    slices = ("dataset.train_split=train[:90%]", "dataset.val_split=train[90%:]")
    cli.main([*line.split(), "dataset.ignore_label=9", *slices])
    (dataset,) = built
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 9, "val": 1}


def test_splits_may_be_chosen_and_sliced():
    dataset = build("validated", train_split="train[3:]+validation", val_split="train[:3]")
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 17, "val": 3, "test": 10}
    assert images_in(dataset, "train") | images_in(dataset, "val") == written("train") | written("validation")
    odd = build("odd", train_split="second", val_split="first")
    assert images_in(odd, "train") == written("second")
    assert images_in(odd, "val") == written("first")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": "odd"}, "dataset.train_split=train: .* first, second. Type dataset.val_split=SPLIT"),
        ({"train_split": "trian"}, r"dataset.train_split=trian: .*TFDS has: .*train \(10\), .*test \(10\)"),
        ({"val_split": "vla"}, "dataset.val_split=vla: "),
        ({"val_split": "train"}, "train_split=train and dataset.val_split=train have images in common"),
        ({"val_split": "test+train[9:]"}, r"dataset.val_split=test\+train\[9:\] have images in common"),
        ({"train_split": "train[:5]+test[:1]"}, r"train_split=train\[:5\]\+test\[:1\] and .* in common"),
        ({"mask_key": "mask"}, r"dataset.mask_key=mask: .*picture \(3 channels\), .*labels/mask \(1 channels\)"),
        ({"mask_key": "depth"}, "dataset.mask_key=depth: .* image of 8 bits, or of 16 bits and one channel"),
        ({"image_key": "number"}, "dataset.image_key=number: .* image of 8 bits"),
        ({"config": "othr"}, "has no config 'othr'. Its configs: alone, tested, validated, odd"),
        ({"config": "tested:9.0.0"}, "cannot be loaded at version 9.0.0, only: 1.0.0"),
        ({"mask_key": "labels/empty"}, "no class but 0 .* dataset.mask=binary"),
        ({"mask_key": "labels/deep"}, "dataset.mask_key=labels/deep: .* 16 bits and one channel"),
        ({"name_key": "number"}, "dataset.name_key=number: .* a text. Those it has: labels/file"),
        ({"classes": []}, "at least 2 classes"),
        ({"mask": "binary", "label_offset": 1}, "dataset.label_offset=1: dataset.mask=binary has no ids"),
    ],
)
def test_a_mistake_is_told(changes, words):
    with pytest.raises(ValueError, match=words):
        build(**changes)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("picture_bok", "has no dataset 'picture_bok'. Names like it: picture_book"),
        ("zzzzzz", "has no dataset 'zzzzzz'. All names: https://"),
        (
            "picture_book",
            "dataset.name=picture_book/CONFIG with one of: alone, tested, validated, odd",
        ),
        ("oxford_iiit_pet/big", "has no config 'big'. It has none; type dataset.name=oxford_iiit_pet."),
        ("a/b/c", "has to be dataset, dataset/config"),
        ("", "has to be dataset, dataset/config"),
    ],
)
def test_a_name_that_tfds_does_not_know_is_told(name, words):
    with pytest.raises(ValueError, match=words) as raised:
        build_tfds(name=name, mask_key="mask")
    assert "\n" not in str(raised.value)


def test_mistakes_are_told_before_anything_is_prepared(data):
    with pytest.raises(ValueError, match="dataset.mask_key=mask"):
        build(mask_key="mask")
    assert not data.exists()
