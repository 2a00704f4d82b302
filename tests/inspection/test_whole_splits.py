from pathlib import Path

import pytest

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.file_pairs import FilePairs
from segtrain.inspection.findings import Findings
from segtrain.inspection.survey import survey_split
from segtrain.inspection.whole_splits import tell_of_whole_splits

EVERYTHING = [[0, 1, 2]]
VOID = [[255, 255]]


def told_of(dataset):
    """Returns severity, kind and split of what is told of whole splits, and the messages."""
    findings = Findings()
    surveys = [survey_split(dataset, name, lambda problem: None) for name in dataset.splits]
    tell_of_whole_splits(dataset, surveys, findings)
    told = [(finding.severity, finding.problem.kind, finding.problem.file) for finding in findings.kept()]
    return told, [finding.problem.detail for finding in findings.kept()]


def test_of_good_splits_nothing_is_told(write_dataset):
    assert told_of(write_dataset(["a", "b", "c"], train=[EVERYTHING], val=[EVERYTHING, VOID])) == ([], [])


def test_a_class_absent_from_train_is_an_error_and_elsewhere_a_warning(write_dataset):
    told, details = told_of(write_dataset(["sky", "road", "car"], train=[[[0, 1]]], val=[[[2, 1]]], test=[EVERYTHING]))
    assert told == [("error", "absent_class", "train"), ("warning", "absent_class", "val")]
    assert "class 2, car" in details[0]
    assert "class 0, sky" in details[1]


def test_each_absent_class_is_told(write_dataset):
    told, _ = told_of(write_dataset(["a", "b", "c", "d", "e"], train=[[[0, 3]]], val=[[[0, 1]]]))
    assert told == [("error", "absent_class", "train")] * 3 + [("warning", "absent_class", "val")] * 3


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_of_void_is_one_error_and_not_one_for_each_class(write_dataset, split):
    masks = {"train": [EVERYTHING], "val": [EVERYTHING]} | {split: [VOID, VOID]}
    told, (detail,) = told_of(write_dataset(["a", "b", "c"], **masks))
    assert told == [("error", "all_void", split)]
    assert "255" in detail


@pytest.mark.parametrize("names", [["train"], ["val"], ["train", "val"]])
def test_an_empty_or_a_missing_split_is_an_error(names):
    nothing = FilePairs(Path("images"), Path("masks"), [])
    dataset = SegmentationDataset("mine", dict.fromkeys(names, nothing), ["a", "b"], 255, [(0, 0, 0), (9, 9, 9)])
    told, _ = told_of(dataset)
    assert sorted(told) == [("error", "empty_split", "train"), ("error", "empty_split", "val")]


def test_of_masks_that_nobody_could_read_no_class_is_said_to_be_absent(write_dataset, tmp_path):
    dataset = write_dataset(["a", "b", "c"], train=[EVERYTHING], val=[EVERYTHING])
    (tmp_path / "masks" / "1.png").write_bytes(b"")
    assert told_of(dataset) == ([], [])
