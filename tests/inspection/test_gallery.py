import numpy as np
import pytest

from segtrain.augmentations.augmentation import Augmentation
from segtrain.inspection.gallery import choose_samples, gather_draws, gather_samples
from segtrain.inspection.survey import survey_split
from segtrain.pipeline.samples import Samples


def surveyed(dataset, name="train"):
    return survey_split(dataset, name, lambda problem: None)


def mask_with(count, class_id):
    """Returns a mask of 20 pixels of class 0 but for `count` ones."""
    labels = np.zeros(20, np.uint8)
    labels[:count] = class_id
    return labels.reshape(4, 5)


def test_the_rarest_classes_are_shown_where_they_are_largest(write_dataset):
    masks = [mask_with(0, 0) for _ in range(40)]
    masks[13], masks[14], masks[29], masks[30] = mask_with(1, 1), mask_with(3, 1), mask_with(6, 2), mask_with(5, 2)
    survey = surveyed(write_dataset(["ground", "dot", "spot", "never"], train=masks, val=[mask_with(1, 1)]))
    chosen = choose_samples(survey, 6)
    assert {14, 29} <= set(chosen)
    assert {0, 39} <= set(chosen)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 6


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_never_more_than_there_are(write_dataset, most):
    survey = surveyed(write_dataset(["a", "b"], train=[mask_with(1, 1)] * 3, val=[mask_with(1, 1)]))
    chosen = choose_samples(survey, most)
    assert len(chosen) == min(most, 3)
    assert set(chosen) <= {0, 1, 2}


def test_broken_pairs_are_not_shown(write_dataset, tmp_path):
    dataset = write_dataset(["a", "b"], train=[mask_with(2, 1)] * 4, val=[mask_with(1, 1)])
    (tmp_path / "images" / "1.png").write_bytes(b"")
    (tmp_path / "masks" / "3.png").write_bytes(b"no mask")
    assert choose_samples(surveyed(dataset), 8) == [0, 2]
    for index in (0, 2):
        (tmp_path / "images" / f"{index}.png").write_bytes(b"")
    assert choose_samples(surveyed(dataset), 8) == []
    assert list(gather_draws(dataset, [surveyed(dataset)], None, image_size=(8, 8), seed=0)) == []


def test_samples_are_those_of_the_files(write_dataset):
    dataset = write_dataset(["a", "b"], train=[mask_with(n, 1) for n in range(3)], val=[mask_with(9, 1)])
    gathered = list(gather_samples(dataset, [surveyed(dataset, name) for name in ("train", "val")]))
    assert [sample.caption for sample in gathered] == ["train: 0", "train: 1", "train: 2", "val: 3"]
    for sample, (split, index) in zip(gathered, [("train", 0), ("train", 1), ("train", 2), ("val", 0)], strict=True):
        image, labels = dataset.read(split, index)
        np.testing.assert_array_equal(sample.image, image)
        np.testing.assert_array_equal(sample.labels, labels)


def test_draws_are_what_training_sees(shapes_dataset):
    import albumentations

    augmentation = Augmentation(ignore_label=255, transforms={"flip": albumentations.HorizontalFlip(p=0.5)})
    surveys = [surveyed(shapes_dataset, name) for name in ("val", "train")]
    drawn = list(gather_draws(shapes_dataset, surveys, augmentation, image_size=(20, 24), seed=7))
    assert len(drawn) == 3
    training = Samples(shapes_dataset, "train", image_size=(20, 24), augmentation=augmentation, seed=7)
    seen = set()
    for original, *draws in drawn:
        index = next(n for n in range(len(training)) if training.name(n) == original.caption)
        np.testing.assert_array_equal(original.image, training.at_network_size(index)[0])
        assert [draw.caption for draw in draws] == ["epoch 1", "epoch 2", "epoch 3"]
        for epoch, draw in enumerate(draws):
            (image,), (labels,) = training.batch([index], epoch=epoch)
            np.testing.assert_array_equal(draw.image, image)
            np.testing.assert_array_equal(draw.labels, labels)
            seen.add(bool((image == original.image).all()))
    assert seen == {True, False}  # some were mirrored, others not
