"""Images that are there twice, against a comparison of all pairs of files."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings, strategies
from PIL import Image

from segtrain.datasets.folder import build_folder
from segtrain.inspection.same_images import find_same_images, tell_of_same_images
from segtrain.inspection.survey import SplitSurvey, survey_split

M = [[0, 1], [1, 0]]
at_leisure = settings(deadline=None, database=None, max_examples=100)


def surveys_of(dataset):
    return [survey_split(dataset, name, lambda problem: None) for name in dataset.splits]


def told_of(dataset):
    problems = []
    tell_of_same_images(dataset, surveys_of(dataset), problems.append)
    return problems


def stems(problem):
    return problem.kind, Path(problem.file).stem


def test_leakage_and_duplicates_are_told_apart(write_dataset):
    dataset = write_dataset(["a", "b"], copies={2: 0, 4: 1, 5: 3, 7: 5}, train=[M] * 4, val=[M] * 2, test=[M] * 2)
    problems = told_of(dataset)
    assert [stems(problem) for problem in problems] == [
        ("duplicate", "2"), ("leakage", "4"), ("leakage", "5"), ("leakage", "7"),
    ]  # fmt: skip
    for problem, first in zip(problems, "0133", strict=True):
        assert problem.file in problem.detail
        assert f"{first}.png" in problem.detail
    assert "'train'" in problems[1].detail
    assert "'val'" in problems[1].detail


def test_images_that_differ_by_one_value_of_one_pixel_are_no_copies(write_dataset, tmp_path):
    dataset = write_dataset(["a", "b"], copies={1: 0}, train=[M], val=[M])
    assert len(told_of(dataset)) == 1
    path = tmp_path / "images" / "1.png"
    pixels = np.array(Image.open(path))
    pixels[1, 1, 2] ^= 1
    Image.fromarray(pixels).save(path)
    assert told_of(dataset) == []


def test_the_same_pixels_in_another_format_are_a_copy(write_dataset, tmp_path):
    write_dataset(["a", "b"], copies={1: 0}, train=[M], val=[M])
    path = tmp_path / "images" / "1.png"
    Image.open(path).save(path.with_suffix(".bmp"))
    path.unlink()
    dataset = build_folder(root=str(tmp_path), classes=["a", "b"])
    assert [stems(problem) for problem in told_of(dataset)] == [("leakage", "1")]


def test_the_same_image_with_another_mask_is_a_copy(write_dataset):
    dataset = write_dataset(["a", "b"], copies={1: 0}, train=[M, [[1, 1], [1, 1]]], val=[M])
    assert [stems(problem) for problem in told_of(dataset)] == [("duplicate", "1")]


class _Facts:
    """As much of a dataset as a survey asks for."""

    num_classes, ignore_label = 2, 255

    def __init__(self, count):
        self._count = count

    def split(self, name):
        return range(self._count)


@at_leisure
@given(strategies.lists(strategies.lists(strategies.integers(0, 4), max_size=8), min_size=1, max_size=3))
def test_every_copy_is_found_once_with_the_first_of_its_kind(splits):
    """Contents are numbers here; 0 stands for an image that could not be read."""
    surveys = []
    for number, contents in enumerate(splits):
        survey = SplitSurvey(_Facts(len(contents)), f"split {number}")
        survey.digests[:] = np.array(contents, np.uint8).reshape(-1, 1)
        survey.was_read[:] = np.array(contents) > 0
        surveys.append(survey)
    expected, first = [], {}
    for number, contents in enumerate(splits):
        for index, content in enumerate(contents):
            place = (f"split {number}", index)
            if content and first.setdefault(content, place) != place:
                expected.append((place, first[content]))
    assert list(find_same_images(surveys)) == expected
