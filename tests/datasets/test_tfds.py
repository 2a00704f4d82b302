import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from segtrain.datasets.tfds import build_tfds

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
                    "labels": {"mask": tfds.features.Image(shape=(None, None, 1)), "empty": tfds.features.Image()},
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
    with pytest.raises(ValueError, match=r"picture_book/tested/1.0.0 train, 00\d+: label 3 at row 0, column 3"):
        build(classes=["a", "b", "c"]).check()


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
        ({"mask_key": "depth"}, "dataset.mask_key=depth: .* image of 8 or 16 bits"),
        ({"image_key": "number"}, "dataset.image_key=number: .* image of 8 bits"),
        ({"config": "othr"}, "has no config 'othr'. Its configs: alone, tested, validated, odd"),
        ({"config": "tested:9.0.0"}, "cannot be loaded at version 9.0.0, only: 1.0.0"),
        ({"mask_key": "labels/empty"}, "no class but 0"),
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
