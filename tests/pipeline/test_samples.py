import dataclasses
import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import albumentations
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segtrain.augmentations.augmentation import Augmentation
from segtrain.datasets.shapes import build_shapes
from segtrain.pipeline.samples import Samples, resize_image, resize_labels

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


labels_and_size = st.tuples(
    arrays(
        np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.sampled_from([0, 1, 7, 11, 254, 255])
    ),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)


@given(labels_and_size)
@settings(deadline=None)
def test_resizing_invents_no_labels(case):
    labels, size = case
    resized = resize_labels(labels, size)
    assert (resized.shape, resized.dtype) == (size, np.uint8)
    assert set(np.unique(resized)) <= set(np.unique(labels))


@given(labels_and_size, st.integers(1, 3), st.integers(1, 3))
@settings(deadline=None)
def test_labels_stay_where_they_are(case, rows, columns):
    labels, (height, width) = case[0], case[0].shape
    enlarged = resize_labels(labels, (height * rows, width * columns))
    np.testing.assert_array_equal(enlarged, labels.repeat(rows, axis=0).repeat(columns, axis=1))
    # Where three rows and columns become one, the nearest label is that in the middle.
    surrounded = np.full((3 * height, 3 * width), 77, np.uint8)
    surrounded[1::3, 1::3] = labels
    np.testing.assert_array_equal(resize_labels(surrounded, (height, width)), labels)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.sampled_from([1, 3, 4]))),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
)
@settings(deadline=None)
def test_images_shrink_by_areas_and_grow_linearly(image, size):
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    expected = cv2.resize(image, size[::-1], interpolation=interpolation).reshape(*size, -1)
    resized = resize_image(image, size)
    assert resized.shape == (*size, image.shape[2])
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("size", [(6, 5), (30, 50)])
@pytest.mark.parametrize("channels", [2, 5, 8, 11])
def test_every_channel_is_resized_alike(size, channels):
    """OpenCV takes four at most."""
    image = np.random.default_rng(0).integers(0, 256, (24, 40, channels), np.uint8)
    resized = resize_image(image, size)
    assert resized.shape == (*size, channels)
    for channel in range(channels):
        np.testing.assert_array_equal(resized[..., channel], resize_image(image[..., [channel]], size)[..., 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_shrinks_to_the_means_of_its_blocks(channels):
    image = np.random.default_rng(0).integers(0, 256, (24, 40, channels), np.uint8)
    means = image.reshape(6, 4, 5, 8, channels).mean(axis=(1, 3))
    assert np.abs(resize_image(image, (6, 5)) - means).max() <= 0.5
