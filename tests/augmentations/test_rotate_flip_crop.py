import random

import albumentations
import cv2
import numpy as np
import pytest

from segtrain.augmentations.augmentation import Augmentation
from segtrain.augmentations.rotate_flip_crop import RotateFlipCrop
from segtrain.datasets.shapes import build_shapes

SIZE = (112, 144)


@pytest.fixture(scope="module")
def scenes():
    """Smooth images, in which interpolating once or twice is nearly the same, and their labels."""
    split = build_shapes(num_train=12, num_val=1, height=180, width=240).split("train")
    samples = [split.read(index) for index in range(12)]
    return [(cv2.GaussianBlur(image, (0, 0), 2), labels) for image, labels in samples]


def give_streams(transform, seed):
    transform.py_random, transform.random_generator = random.Random(seed), np.random.default_rng(seed)


def one_after_another(image, labels, transform, seed):
    """The same draws, made by albumentations' own three transforms."""
    stream = random.Random(seed)
    angle = stream.uniform(-transform.limit, transform.limit)
    mirrored = stream.random() < transform.flip
    crop = albumentations.RandomResizedCrop(size=transform.size, scale=transform.scale, ratio=transform.ratio)
    crop.py_random, crop.random_generator = stream, np.random.default_rng(seed)
    sample = albumentations.Rotate(limit=(angle, angle), fill_mask=255, p=1.0)(image=image, mask=labels)
    if mirrored:
        sample = albumentations.HorizontalFlip(p=1.0)(**sample)
    return crop(**sample), mirrored


@pytest.mark.parametrize("limit", [0, 30, 180])
def test_one_warp_does_what_three_transforms_do(scenes, limit):
    transform = RotateFlipCrop(SIZE, limit=limit, fill_mask=255)
    mirrored_count = 0
    for seed, (image, labels) in enumerate(scenes):
        give_streams(transform, seed)
        once = transform(image=image, mask=labels)
        expected, mirrored = one_after_another(image, labels, transform, seed)
        mirrored_count += mirrored
        assert once["image"].shape == (*SIZE, 3)
        assert once["mask"].shape == SIZE
        assert once["image"].dtype == once["mask"].dtype == np.uint8
        inside = cv2.erode((expected["mask"] != 255).astype(np.uint8), np.ones((5, 5))) > 0
        difference = np.abs(once["image"].astype(int) - expected["image"])[inside]
        assert difference.mean() < 1.5
        assert (once["mask"] == expected["mask"]).mean() > 0.95
    assert 2 <= mirrored_count <= 10


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_without_change_the_image_stays(channels):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, channels), np.uint8)
    labels = image[..., 0] % 5
    transform = RotateFlipCrop((20, 30), limit=0, flip=0, scale=(1, 1), ratio=(1.5, 1.5))
    give_streams(transform, 0)
    sample = transform(image=image, mask=labels)
    np.testing.assert_array_equal(sample["image"], image)
    np.testing.assert_array_equal(sample["mask"], labels)


def test_outside_is_void_and_labels_stay_labels(scenes):
    augmentation = Augmentation(ignore_label=11, transforms={"all": RotateFlipCrop(SIZE, limit=45)}, reads="native")
    image, labels = scenes[0]
    labels = np.where(labels == 255, 0, labels).astype(np.uint8)
    seen = {label for index in range(20) for label in np.unique(augmentation(image, labels, key=(0, 0, index))[1])}
    assert seen == {*np.unique(labels), 11}
