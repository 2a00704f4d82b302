import dataclasses
import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import albumentations
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segtrain.augmentations.augmentation import Augmentation
from segtrain.datasets.folder import build_folder
from segtrain.datasets.shapes import build_shapes
from segtrain.pipeline.class_balance import count_classes
from segtrain.pipeline.resizing import resize_image, resize_labels
from segtrain.pipeline.sample_cache import MemoryCache
from segtrain.pipeline.samples import Samples

SIZE = (24, 20)


class Counted:
    """A split that counts what is read of it, fails where it is told to and takes the seconds it is told to."""

    def __init__(self, split, fails_at=(), takes=0):
        self.split, self.fails_at, self.takes, self.reads = split, fails_at, takes, []

    def __len__(self):
        return len(self.split)

    def __getattr__(self, name):
        return getattr(self.split, name)

    def read(self, index):
        self.reads.append(index)
        time.sleep(self.takes)
        if index in self.fails_at:
            raise ValueError(f"masks/{index}.png: broken")
        return self.split.read(index)


def counted(dataset, cache, **options):
    split = Counted(dataset.split("train"), **options)
    return split, dataclasses.replace(dataset, splits={"train": split}, cache=cache)


def flip(**settings):
    return Augmentation(
        ignore_label=255,
        transforms={"x": albumentations.HorizontalFlip(p=0.5), "y": albumentations.VerticalFlip(p=0.5)},
        **settings,
    )


def crop(size=SIZE, **settings):
    crop = albumentations.RandomResizedCrop(size=size, p=1.0)
    colour = albumentations.ColorJitter(p=0.8)
    return Augmentation(ignore_label=255, transforms={"crop": crop, "colour": colour}, **settings)


def test_the_order_is_a_permutation_of_seed_and_epoch_alone(shapes_dataset):
    def order(seed, epoch, **options):
        return tuple(Samples(shapes_dataset, "train", image_size=(32, 32), seed=seed, **options).order(epoch))

    orders = {(seed, epoch): order(seed, epoch) for seed in range(4) for epoch in range(5)}
    assert all(sorted(one) == list(range(24)) for one in orders.values())
    assert len(set(orders.values())) == 20
    assert order(2, 3, augmentation=flip()) == orders[2, 3]


@pytest.mark.parametrize("augmentation", [None, flip, lambda: crop(reads="native")], ids=["none", "flip", "crop"])
@pytest.mark.parametrize("cache", ["memory", "disk", "none", "auto"])
def test_a_batch_is_a_function_of_seed_epoch_and_index(shapes_dataset, cache, augmentation):
    """Worked out here from the dataset and the augmentation alone, asked for there in any order from many threads."""
    seed = 5

    def expected(index, epoch):
        image, labels = shapes_dataset.read("train", index)
        augment = augmentation and augmentation()
        if not augment or augment.reads == "resized":
            image, labels = resize_image(image, SIZE), resize_labels(labels, SIZE)
        return augment(image, labels, key=(seed, epoch, index)) if augment else (image, labels)

    dataset = dataclasses.replace(shapes_dataset, cache=cache)
    samples = Samples(dataset, "train", image_size=SIZE, augmentation=augmentation and augmentation(), seed=seed)
    asked = [
        (epoch, order) for epoch in (2, 0, 1) for order in np.random.default_rng(epoch).permutation(24).reshape(4, 6)
    ]
    with ThreadPoolExecutor(4) as threads:
        batches = list(threads.map(lambda job: samples.batch(job[1], epoch=job[0]), asked))
    assert len(batches) == 12
    for (epoch, indices), (images, labels) in zip(asked, batches, strict=True):
        assert images.dtype == labels.dtype == np.uint8
        for place, index in enumerate(indices):
            image, mask = expected(int(index), epoch)
            np.testing.assert_array_equal(images[place], image)
            np.testing.assert_array_equal(labels[place], mask)


def test_epochs_and_seeds_are_augmented_differently(shapes_dataset):
    def images(seed, epoch):
        samples = Samples(shapes_dataset, "train", image_size=SIZE, augmentation=crop(reads="native"), seed=seed)
        return samples.batch(range(6), epoch=epoch)[0].tobytes()

    assert len({images(seed, epoch) for seed in (1, 2) for epoch in (0, 1, 2)}) == 6


def test_validation_is_not_augmented(shapes_dataset):
    samples = Samples(shapes_dataset, "val", image_size=(32, 32), augmentation=flip())
    images, labels = samples.batch(range(10))
    for index in range(10):
        image, mask = shapes_dataset.read("val", index)
        np.testing.assert_array_equal(images[index], image)
        np.testing.assert_array_equal(labels[index], mask)


def test_a_negative_index_is_void(shapes_dataset):
    samples = Samples(shapes_dataset, "val", image_size=SIZE)
    images, labels = samples.batch([3, -1])
    np.testing.assert_array_equal(images[0], samples.at_network_size(3)[0])
    assert not images[1].any()
    assert (labels[1] == 255).all()


@pytest.mark.parametrize("reads", ["resized", "native"])
def test_the_augmentation_reads_the_size_it_asks_for(reads):
    """A crop of the native image shows its very pixels, a crop of the resized one those of the smaller image."""
    dataset = build_shapes(num_train=8, num_val=1, height=48, width=48)
    size = (24, 24) if reads == "native" else (32, 32)
    window = Augmentation(ignore_label=255, transforms={"crop": albumentations.RandomCrop(*size)}, reads=reads)
    samples = Samples(dataset, "train", image_size=size, augmentation=window)
    places = set()
    for index in range(8):
        image, labels = samples.augmented(index, epoch=0)
        whole, mask = dataset.read("train", index)
        if reads == "resized":
            whole, mask = cv2.resize(whole, (32, 32), interpolation=cv2.INTER_AREA), resize_labels(mask, (32, 32))
        windows = np.lib.stride_tricks.sliding_window_view(whole, (*size, 3)).squeeze(2)
        found = np.argwhere((windows == image).all(axis=(2, 3, 4)))
        assert len(found) == 1
        (top, left), (height, width) = found[0], size
        np.testing.assert_array_equal(labels, mask[top : top + height, left : left + width])
        places.add((top, left))
    assert len(places) == (8 if reads == "native" else 1)


class Places:
    """Images of 48x96 whose pixels tell their row and column. Implements `Split`."""

    def __len__(self):
        return 1

    def source(self, index):
        return "places"

    def sizes(self, index):
        return (48, 96), (48, 96)

    def read(self, index):
        rows, columns = np.mgrid[:48, :96].astype(np.uint8)
        return np.stack([rows, columns, rows], axis=-1), np.zeros((48, 96), np.uint8)


@pytest.mark.parametrize(
    ("resize", "first_columns"), [("stretch", (0, 72)), ("crop_square", (24, 48)), ("letterbox", (0, 72))]
)
def test_what_an_augmentation_that_reads_native_images_is_given(shapes_dataset, resize, first_columns):
    """The square that is kept; of a letterboxed image all, without padding. A crop of it shows its very pixels."""
    dataset = dataclasses.replace(shapes_dataset, splits={"train": Places()}, resize=resize)
    window = Augmentation(ignore_label=255, transforms={"crop": albumentations.RandomCrop(24, 24)}, reads="native")
    samples = Samples(dataset, "train", image_size=(24, 24), augmentation=window)
    corners = set()
    for epoch in range(400):
        image, labels = samples.augmented(0, epoch)
        rows, columns = np.mgrid[:24, :24] + image[0, 0, :2, None, None]
        np.testing.assert_array_equal(image, np.stack([rows, columns, rows], axis=-1))
        assert (labels == 0).all()
        corners.add(tuple(image[0, 0, :2].tolist()))
    rows, columns = zip(*corners, strict=True)
    assert (min(rows), max(rows)) == (0, 24)
    assert (min(columns), max(columns)) == first_columns


@pytest.mark.parametrize("reads", ["resized", "native"])
@pytest.mark.parametrize("resize", ["stretch", "crop_square", "letterbox"])
@pytest.mark.parametrize("size", [(24, 20), (17, 40), (32, 32)])
def test_validation_sees_a_sample_as_training_does(shapes_of_many_sizes, resize, reads, size):
    """Whatever the cache holds for the augmentation, without it a sample is the same."""
    dataset = dataclasses.replace(shapes_of_many_sizes, resize=resize)
    training = Samples(dataset, "train", image_size=size, augmentation=flip(reads=reads))
    validation = Samples(dataset, "train", image_size=size)
    for index in range(8):
        for expected, seen in zip(validation.at_network_size(index), training.at_network_size(index), strict=True):
            np.testing.assert_array_equal(seen, expected)


def test_at_its_own_size_a_sample_is_a_batch(shapes_of_many_sizes):
    samples = Samples(shapes_of_many_sizes, "train", image_size=None)
    for index in range(8):
        images, labels = samples.batch([index])
        image, mask = shapes_of_many_sizes.read("train", index)
        np.testing.assert_array_equal(images, image[None])
        np.testing.assert_array_equal(labels, mask[None])
    with pytest.raises(ValueError, match=r"Received: 2 images\. Use batch_size=1\."):
        samples.batch([0, 1])


def test_an_augmentation_may_change_an_images_own_size(shapes_of_many_sizes):
    samples = Samples(shapes_of_many_sizes, "train", image_size=None, augmentation=crop((12, 14), reads="native"))
    assert {samples.batch([index], epoch=0)[1].shape for index in range(8)} == {(1, 12, 14)}
    resized = Samples(shapes_of_many_sizes, "train", image_size=None, augmentation=flip())
    assert len({resized.batch([index], epoch=0)[1].shape for index in range(8)}) == 8


@pytest.mark.parametrize(
    ("size", "augmentation", "resize"),
    [
        (None, None, "stretch"),
        ((24, 20), None, "letterbox"),
        ((24, 20), lambda: crop(reads="native"), "stretch"),
        ((24, 20), lambda: crop(reads="native"), "crop_square"),
    ],
)
@pytest.mark.parametrize("max_samples", [None, 3])
def test_the_cache_is_told_what_all_samples_take(
    shapes_of_many_sizes, monkeypatch, size, augmentation, resize, max_samples
):
    """Of eight images all are asked for their sizes, so that it is right but for the rounding of the mean."""
    told = []
    monkeypatch.setattr(
        "segtrain.pipeline.samples.open_cache",
        lambda choice, count, bytes_per_sample: told.append(count * bytes_per_sample) or MemoryCache(count),
    )
    dataset = dataclasses.replace(shapes_of_many_sizes, resize=resize)
    augment = augmentation and augmentation()
    samples = Samples(dataset, "train", image_size=size, augmentation=augment, max_samples=max_samples)
    for index in range(len(samples)):
        samples.augmented(index, epoch=0)
    kept = sum(part.nbytes for sample in samples._cache._samples for part in sample)
    assert kept > 1000
    assert told == [pytest.approx(kept, abs=4 * len(samples))]


def test_another_size_than_the_networks_is_an_error(shapes_dataset):
    samples = Samples(shapes_dataset, "train", image_size=SIZE, augmentation=crop((16, 16), reads="native"))
    with pytest.raises(ValueError, match=r"network's size \(24, 20\)\. Received: \(16, 16\)"):
        samples.augmented(0, epoch=0)


def test_an_augmentation_that_returns_no_pixel_values_is_an_error(shapes_dataset):
    """Networks scale 0..255 themselves; -2.1 would silently become 254 in a batch of uint8."""
    normalise = Augmentation(ignore_label=255, transforms={"normalise": albumentations.Normalize()})
    samples = Samples(shapes_dataset, "train", image_size=(32, 32), augmentation=normalise)
    with pytest.raises(ValueError, match="uint8"):
        samples.batch([0, 1], epoch=0)


@pytest.mark.parametrize(("cache", "reads_a_sample"), [("memory", 1), ("disk", 1), ("auto", 1), ("none", 3)])
@pytest.mark.parametrize("reads", ["resized", "native"])
def test_a_cached_file_is_decoded_once(shapes_dataset, cache, reads, reads_a_sample):
    split, dataset = counted(shapes_dataset, cache)
    samples = Samples(dataset, "train", image_size=(32, 32), augmentation=flip(reads=reads))
    for epoch in range(3):
        for start in range(0, 24, 8):
            samples.batch(samples.order(epoch)[start : start + 8], epoch=epoch)
    assert sorted(split.reads) == sorted(list(range(24)) * reads_a_sample)


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_epochs_that_are_read_beside_each_other_decode_a_file_once(shapes_dataset, cache):
    split, dataset = counted(shapes_dataset, cache, takes=0.005)
    samples, start = Samples(dataset, "train", image_size=SIZE), threading.Barrier(4)

    def read(epoch):
        start.wait(timeout=60)
        return samples.batch(range(24), epoch=epoch)

    with ThreadPoolExecutor(4) as threads:
        batches = list(threads.map(read, range(4)))
    assert sorted(split.reads) == list(range(24))
    for images, labels in batches:
        np.testing.assert_array_equal(images, batches[0][0])
        np.testing.assert_array_equal(labels, batches[0][1])


@pytest.mark.parametrize(
    ("choice", "kind"), [("auto", "memory"), ("memory", "memory"), ("disk", "disk"), ("none", "none")]
)
def test_where_samples_are_kept_is_told(shapes_dataset, choice, kind):
    dataset = dataclasses.replace(shapes_dataset, cache=choice)
    assert Samples(dataset, "train", image_size=SIZE).cache_kind == kind


def test_decoded_samples_go_with_the_last_that_uses_them(shapes_dataset):
    """A sweep trains one run after another in one process, which would hold the images of all."""
    samples = Samples(dataclasses.replace(shapes_dataset, cache="memory"), "train", image_size=SIZE)
    samples.batch(samples.order(0)[:8], epoch=0)
    kept = weakref.ref(samples.at_network_size(0)[0])
    assert kept() is not None
    gc.disable()
    try:
        del samples
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("max_samples", "chosen"),
    [
        (None, list(range(24))),
        (24, list(range(24))),
        (99, list(range(24))),
        (2, [0, 23]),
        (1, [0]),
        (4, [0, 8, 15, 23]),
    ],
)
def test_max_samples_are_spread_evenly(shapes_dataset, max_samples, chosen):
    split, dataset = counted(shapes_dataset, "none")
    samples = Samples(dataset, "train", image_size=(32, 32), max_samples=max_samples)
    assert len(samples) == len(chosen)
    assert [samples.name(index) for index in range(len(samples))] == [f"train_{index:05d}" for index in chosen]
    images, _ = samples.batch(range(len(samples)))
    assert split.reads == chosen
    np.testing.assert_array_equal(images[-1], shapes_dataset.read("train", chosen[-1])[0])


@given(count=st.integers(1, 500), share=st.floats(0.001, 1))
def test_no_sample_is_chosen_twice(count, share):
    most = max(1, int(share * count))
    dataset = build_shapes(num_train=count, num_val=1)
    samples = Samples(dataset, "train", image_size=(32, 32), max_samples=most)
    assert len({samples.name(index) for index in range(len(samples))}) == len(samples) == most


def test_a_failure_keeps_its_own_error(shapes_dataset):
    _, dataset = counted(shapes_dataset, "memory", fails_at={7})
    samples = Samples(dataset, "train", image_size=(32, 32))
    samples.batch([0, 1])
    assert samples.failure is None
    with pytest.raises(ValueError, match=r"masks/7\.png: broken") as error:
        samples.batch([6, 7, 8])
    assert samples.failure is error.value


# Samples that cannot be used.


@pytest.fixture
def folder_of_ten(tmp_path):
    """A folder of images at `tmp_path/images` and `masks`, a.png to j.png, all of them training images but two."""
    rng = np.random.default_rng(0)
    for name in "abcdefghij":
        save(tmp_path / "images" / f"{name}.png", rng.integers(0, 256, (24, 24, 3), np.uint8))
        save(tmp_path / "masks" / f"{name}.png", rng.integers(0, 2, (24, 24), np.uint8))
    for split, names in (("train", "abcdefgh"), ("val", "ij")):
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
    return tmp_path


def save(path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def write_wrong_label(path):
    save(path.parents[1] / "masks" / path.name, np.full((24, 24), 7, np.uint8))


def write_other_size(path):
    save(path.parents[1] / "masks" / path.name, np.zeros((12, 24), np.uint8))


DAMAGES = [Path.unlink, cut, write_wrong_label, write_other_size]


def open_folder(folder, **options):
    return dataclasses.replace(build_folder(root=str(folder), classes=["a", "b"], ignore_label=255), **options)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
@pytest.mark.parametrize("size", [(16, 16), None])
def test_a_bad_sample_is_void_and_all_others_are_as_they_were(folder_of_ten, damage, cache, size):
    options = {"image_size": size, "augmentation": flip(), "seed": 3}
    undisturbed = Samples(open_folder(folder_of_ten), "train", **options)
    expected = {(index, epoch): undisturbed.augmented(index, epoch) for index in range(8) for epoch in range(2)}
    dataset = open_folder(folder_of_ten, on_bad_sample="skip", max_bad_share=0.125, cache=cache)
    damage(folder_of_ten / "images" / "c.png")
    dataset.check()
    samples = Samples(dataset, "train", **options)
    for (index, epoch), (image, labels) in expected.items():
        found_image, found_labels = samples.augmented(index, epoch)
        if index == 2:
            assert (found_labels == 255).all()
            assert not found_image.any()
            assert found_labels.shape == (size or (128, 128))
        else:
            np.testing.assert_array_equal(found_image, image)
            np.testing.assert_array_equal(found_labels, labels)
    assert list(samples.skipped) == [2]
    assert "c.png" in samples.skipped[2]
    assert samples.describe_skipped().startswith("1 of 8 images of train could not be used and count as void")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_sample_is_a_failure_unless_it_is_to_be_skipped(folder_of_ten, damage):
    dataset = open_folder(folder_of_ten)
    samples = Samples(dataset, "train", image_size=(16, 16))
    damage(folder_of_ten / "images" / "c.png")
    with pytest.raises(ValueError, match=r"c\.png") as error:
        samples.batch(range(4))
    assert samples.failure is error.value
    with pytest.raises(ValueError, match=r"c\.png"):
        dataset.check()


def test_more_bad_samples_than_the_share_are_a_failure(folder_of_ten):
    for name in "cd":
        (folder_of_ten / "images" / f"{name}.png").write_bytes(b"no image")
    dataset = open_folder(folder_of_ten, on_bad_sample="skip", max_bad_share=0.249)
    with pytest.raises(ValueError, match=r"2 of the 8 images of the split 'train' .* dataset.max_bad_share=0.249"):
        Samples(dataset, "train", image_size=(16, 16)).batch(range(8))
    samples = Samples(dataclasses.replace(dataset, max_bad_share=0.25), "train", image_size=(16, 16))
    samples.batch(range(8))
    samples.batch(range(8))  # each is counted once
    assert sorted(samples.skipped) == [2, 3]


def test_classes_are_counted_without_the_bad_samples(folder_of_ten):
    whole = count_classes(Samples(open_folder(folder_of_ten), "train", image_size=(16, 16)))
    lost = np.asarray(Image.open(folder_of_ten / "masks" / "c.png"))
    cut(folder_of_ten / "images" / "c.png")
    dataset = open_folder(folder_of_ten, on_bad_sample="skip", max_bad_share=0.5)
    rest = count_classes(Samples(dataset, "train", image_size=(16, 16)))
    np.testing.assert_array_equal(rest.class_pixels, whole.class_pixels - np.bincount(lost.ravel()))
