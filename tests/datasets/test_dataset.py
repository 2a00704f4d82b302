import numpy as np
import pytest

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.problems import BadSampleError


class MadeUp:
    """A split of `count` samples that notes what is asked of it; sample `wrong` has its mask from `make_mask`."""

    def __init__(self, count, wrong=None, make_mask=None, mask_size=(4, 6)):
        self.count, self.wrong, self.make_mask, self.mask_size = count, wrong, make_mask, mask_size
        self.measured, self.decoded = [], []

    def __len__(self):
        return self.count

    def name(self, index):
        return f"sample_{index}"

    def source(self, index):
        return f"masks/{index}.png"

    def sizes(self, index):
        self.measured.append(index)
        return (4, 6), self.mask_size if index == self.wrong else (4, 6)

    def read(self, index):
        self.decoded.append(index)
        labels = self.make_mask() if index == self.wrong and self.make_mask else np.zeros((4, 6), np.uint8)
        return np.zeros((4, 6, 3), np.uint8), labels


def make(splits=None, **facts):
    splits = {"train": MadeUp(3), "val": MadeUp(2)} | (splits or {})
    defaults = {"class_names": ["a", "b", "c"], "ignore_label": 255, "palette": [(0, 0, 0)] * 3}
    return SegmentationDataset("made_up", splits, **(defaults | facts))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"class_names": []}, "at least 2 classes"),
        ({"class_names": ["thing"]}, r"at least 2 classes.*\['thing'\].*classes=\[background,object\]"),
        ({"class_names": [str(number) for number in range(256)]}, "255 classes. Received: 256"),
        ({"ignore_label": 0}, r"outside the classes 0\.\.2\. Received: 0 \(a\)"),
        ({"ignore_label": 2}, r"Received: 2 \(c\)"),
    ],
)
def test_impossible_facts_are_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        make(**facts)


@pytest.mark.parametrize("facts", [{"ignore_label": 3}, {"class_names": [str(number) for number in range(255)]}])
def test_facts_at_the_bounds_are_taken(facts):
    assert make(**facts).num_classes == len(facts.get("class_names", "abc"))


def test_two_classes_of_one_name_are_refused():
    """Scores are kept by name: of two, one would be lost from results.json."""
    with pytest.raises(ValueError, match="b"):
        make(class_names=["a", "b", "b"])


def test_an_unknown_split_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"made_up has no split 'tset'\. It has: train, val\."):
        make().split("tset")


@pytest.mark.parametrize(
    ("labels", "valid"),
    [([0, 2, 255], True), ([3], False), ([254, 255], False), ([], True)],
)
def test_labels_are_classes_or_void(labels, valid):
    dataset, mask = make(), np.uint8(labels).reshape(1, -1)
    if valid:
        dataset.require_valid_labels(mask, "m.png")
    else:
        with pytest.raises(ValueError, match=rf"m\.png: label {labels[0]} at row 0, column 0\."):
            dataset.require_valid_labels(mask, "m.png")


def test_the_first_wrong_pixel_and_all_wrong_values_are_told():
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 5], mask[2, 0], mask[3, 3] = 9, 7, 255
    with pytest.raises(ValueError, match=r"label 9 at row 1, column 5.*0\.\.2 \(3 classes\) or 255.*: 7, 9\."):
        make().require_valid_labels(mask, "m.png")


def test_reading_refuses_a_mask_of_another_size():
    train = MadeUp(3, wrong=1, make_mask=lambda: np.zeros((5, 6), np.uint8))
    with pytest.raises(ValueError, match=r"masks/1\.png: the mask is 5x6 .* image is 4x6"):
        make({"train": train}).read("train", 1)


def test_a_mask_on_its_side_is_told_of_the_orientation_tag():
    train = MadeUp(3, wrong=1, make_mask=lambda: np.zeros((6, 4), np.uint8))
    with pytest.raises(BadSampleError, match=r"masks/1\.png: the mask is 6x4 .*orientation tag \(EXIF\)") as error:
        make({"train": train}).read("train", 1)
    assert error.value.kind == "size_mismatch"


@pytest.mark.parametrize("advice", ["", "Or set dataset.ignore_label."])
def test_a_wrong_label_is_told_with_the_settings_that_the_dataset_has(advice):
    with pytest.raises(BadSampleError, match=r"Correct the mask\.") as error:
        make(advice_on_labels=advice).require_valid_labels(np.uint8([[77]]), "m.png")
    assert str(error.value).endswith(f"Correct the mask. {advice}".rstrip())
    assert ("dataset." in str(error.value)) == bool(advice)
    assert error.value.kind == "wrong_label"


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (MadeUp(0), "'{split}' is empty"),
        (MadeUp(3, wrong=2, mask_size=(6, 4)), r"masks/2\.png: the mask is 6x4"),
        (MadeUp(3, wrong=0, make_mask=lambda: np.full((4, 6), 77, np.uint8)), r"masks/0\.png: label 77"),
    ],
    ids=["empty", "size", "label"],
)
def test_the_check_finds_what_is_wrong(split, damaged, message):
    with pytest.raises(ValueError, match=message.format(split=split)):
        make({split: damaged}).check()


def test_the_check_of_a_large_dataset_opens_a_bounded_sample_from_end_to_end():
    train = MadeUp(100_000)
    make({"train": train}).check()
    assert (len(set(train.measured)), len(set(train.decoded))) == (200, 40)
    for sample in (train.measured, train.decoded):
        assert {0, 99_999} <= set(sample)
        assert np.diff(sorted(sample)).max() < 1.1 * 100_000 / (len(sample) - 1)
