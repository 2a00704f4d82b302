import dataclasses

import albumentations
import numpy as np
import pytest
import tensorflow as tf

from segtrain.augmentations.augmentation import Augmentation
from segtrain.datasets.problems import BadSampleError
from segtrain.pipeline.batches import evaluation_batches, training_batches
from segtrain.pipeline.samples import Samples

SIZE = (16, 24)


def make_samples(dataset, split="train"):
    flip = Augmentation(ignore_label=255, transforms={"flip": albumentations.HorizontalFlip(p=0.5)})
    return Samples(dataset, split, image_size=SIZE, augmentation=flip if split == "train" else None, seed=3)


def read_training(dataset, *, batch_size=10, num_parts=1, first_epoch=0, last_epoch=2):
    batches = training_batches(
        make_samples(dataset),
        batch_size=batch_size,
        num_parts=num_parts,
        first_epoch=first_epoch,
        last_epoch=last_epoch,
    )
    return list(batches.as_numpy_iterator())


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for batch, one in zip(batches, expected, strict=True):
        np.testing.assert_array_equal(batch[0], one[0])
        np.testing.assert_array_equal(batch[1], one[1])


def join(elements, num_parts):
    """Puts each batch together from its parts."""
    groups = [elements[start : start + num_parts] for start in range(0, len(elements), num_parts)]
    return [tuple(np.concatenate(part) for part in zip(*group, strict=True)) for group in groups]


def test_epochs_follow_one_another_without_their_incomplete_batches(shapes_dataset):
    samples = make_samples(shapes_dataset)
    expected = [
        samples.batch(samples.order(epoch)[start : start + 10], epoch=epoch) for epoch in (0, 1) for start in (0, 10)
    ]
    assert_same(read_training(shapes_dataset), expected)
    # Each epoch leaves out 4 of 24 samples, not the same ones.
    assert set(samples.order(0)[20:]) != set(samples.order(1)[20:])


@pytest.mark.parametrize(("batch_size", "num_batches"), [(1, 48), (24, 2), (7, 6)])
def test_the_number_of_batches(shapes_dataset, batch_size, num_batches):
    batches = read_training(shapes_dataset, batch_size=batch_size)
    assert [images.shape for images, _ in batches] == [(batch_size, *SIZE, 3)] * num_batches


@pytest.mark.parametrize("num_parts", [2, 5])
def test_the_parts_of_a_batch_follow_one_another(shapes_dataset, num_parts):
    parts = read_training(shapes_dataset, num_parts=num_parts)
    assert {len(images) for images, _ in parts} == {10 // num_parts}
    assert_same(join(parts, num_parts), read_training(shapes_dataset))


@pytest.mark.parametrize("num_parts", [1, 2])
def test_a_later_epoch_can_be_entered(shapes_dataset, num_parts):
    whole = read_training(shapes_dataset, num_parts=num_parts, last_epoch=3)
    assert len(whole) == 6 * num_parts
    later = read_training(shapes_dataset, num_parts=num_parts, first_epoch=1, last_epoch=3)
    assert_same(later, whole[2 * num_parts :])


@pytest.mark.parametrize(("batch_size", "num_parts"), [(4, 1), (4, 2), (5, 1), (10, 2), (16, 4)])
def test_every_sample_is_evaluated_once(shapes_dataset, batch_size, num_parts):
    samples = make_samples(shapes_dataset, "val")
    batches = evaluation_batches(samples, batch_size=batch_size, num_parts=num_parts)
    batches = join(list(batches.as_numpy_iterator()), num_parts)
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    assert len(images) == -(-10 // batch_size) * batch_size
    expected = samples.batch(range(10))
    np.testing.assert_array_equal(images[:10], expected[0])
    np.testing.assert_array_equal(labels[:10], expected[1])
    assert (labels[10:] == 255).all()
    assert not images[10:].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_elements_are_bytes_of_a_known_shape(shapes_dataset, channels):
    samples = make_samples(dataclasses.replace(shapes_dataset, channels=channels))
    expected = (tf.TensorSpec((5, *SIZE, channels), tf.uint8), tf.TensorSpec((5, *SIZE), tf.uint8))
    options = {"batch_size": 10, "num_parts": 2}
    assert training_batches(samples, first_epoch=0, last_epoch=1, **options).element_spec == expected
    assert evaluation_batches(samples, **options).element_spec == expected


def test_images_at_their_own_sizes_are_batches_of_one(shapes_of_many_sizes):
    training, validation = (Samples(shapes_of_many_sizes, split, image_size=None, seed=3) for split in ("train", "val"))
    batches = training_batches(training, batch_size=1, num_parts=1, first_epoch=0, last_epoch=2)
    evaluation = evaluation_batches(validation, batch_size=1, num_parts=1)
    spec = (tf.TensorSpec((1, None, None, 3), tf.uint8), tf.TensorSpec((1, None, None), tf.uint8))
    assert batches.element_spec == evaluation.element_spec == spec
    order = [int(index) for epoch in (0, 1) for index in training.order(epoch)]
    assert_same(
        list(batches.as_numpy_iterator()),
        [training.batch([index], epoch=number // 8) for number, index in enumerate(order)],
    )
    assert_same(list(evaluation.as_numpy_iterator()), [validation.batch([index]) for index in range(5)])


def test_a_batch_of_images_at_their_own_sizes_is_an_error(shapes_of_many_sizes):
    samples = Samples(shapes_of_many_sizes, "train", image_size=None)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(training_batches(samples, batch_size=2, num_parts=1, first_epoch=0, last_epoch=1))
    assert str(samples.failure).endswith("Use batch_size=1.")


def test_the_original_error_is_kept(shapes_with_a_wrong_label):
    samples = Samples(shapes_with_a_wrong_label, "val", image_size=SIZE)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(evaluation_batches(samples, batch_size=4, num_parts=1))
    assert type(samples.failure) is BadSampleError
    assert str(samples.failure).startswith("generated val_00006: label 99 at row 0, column 0.")
