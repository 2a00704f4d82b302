import albumentations
import cv2
import numpy as np
import pytest

from segtrain.augmentations.augmentation import Augmentation, _Copies
from segtrain.augmentations.four_channels import add_fourth, drop_fourth, gains_from_fourth
from segtrain.augmentations.rotate_flip_crop import RotateFlipCrop

WARPS = {
    "rotate": albumentations.Rotate(limit=60, p=1.0),
    "rotate_reflect": albumentations.Rotate(limit=60, border_mode=cv2.BORDER_REFLECT_101, p=1.0),
    "rotate_fill": albumentations.Rotate(limit=60, fill=90, crop_border=True, p=1.0),
    "safe_rotate": albumentations.SafeRotate(limit=60, p=1.0),
    "affine": albumentations.Affine(scale=(0.6, 1.5), translate_percent=0.2, shear=(-20, 20), rotate=(-90, 90), p=1.0),
    "shift_scale_rotate": albumentations.ShiftScaleRotate(p=1.0),
    "perspective": albumentations.Perspective(p=1.0),
}


def noise(seed=0, shape=(90, 120, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_the_fourth_channel_leaves_the_others_alone():
    image = noise()
    assert add_fourth(image).shape == (90, 120, 4)
    np.testing.assert_array_equal(add_fourth(image)[..., :3], image)
    np.testing.assert_array_equal(drop_fourth(add_fourth(image)), image)


def without_fourth(augmentation, image, labels, key):
    """What albumentations makes of three channels, with the same random numbers."""
    copies = _Copies(augmentation._transforms)
    copies._gains = [False] * len(copies._gains)
    return copies.apply(image, labels, key)


@pytest.mark.parametrize("name", WARPS)
def test_warped_pixels_are_albumentations_own_to_the_bit(name):
    assert gains_from_fourth(WARPS[name])
    augmentation = Augmentation(ignore_label=255, transforms={"warp": WARPS[name]}, reads="native")
    moved = 0
    for index in range(12):
        image, labels = noise(index), noise(index, (90, 120))
        ours = augmentation(image, labels, key=(3, 4, index))
        theirs = without_fourth(augmentation, image, labels, key=(3, 4, index))
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our, their)
        moved += not np.array_equal(ours[0], image)
    assert moved >= 11


@pytest.mark.parametrize(
    "transform",
    [
        albumentations.Rotate(interpolation=cv2.INTER_CUBIC),
        albumentations.Rotate(fill=(10, 20, 30)),
        albumentations.HorizontalFlip(),
        albumentations.ColorJitter(),
        albumentations.OneOf([albumentations.Rotate()]),
    ],
)
def test_others_see_the_image_as_it_is(transform):
    assert not gains_from_fourth(transform)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_other_numbers_of_channels_are_warped_as_they_are(channels):
    image, labels = noise(shape=(90, 120, channels)), noise(shape=(90, 120))
    for transform in (WARPS["rotate"], RotateFlipCrop((40, 60))):
        augmentation = Augmentation(ignore_label=255, transforms={"warp": transform}, reads="native")
        assert augmentation(image, labels, key=(0, 0, 1))[0].shape[2] == channels


def test_a_warp_of_ours_is_the_same_with_three_and_with_four():
    transform, matrix = RotateFlipCrop((40, 60)), cv2.getRotationMatrix2D((60, 45), 20, 0.7)
    image = noise()
    by_channel = [transform.apply(image[..., [channel]], matrix)[..., 0] for channel in range(3)]
    np.testing.assert_array_equal(transform.apply(image, matrix), np.stack(by_channel, axis=-1))
