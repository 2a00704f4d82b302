"""Counts against NumPy's own over the files, and what is told of pairs that are broken one way each."""

import gc
import os
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.camvid import build_camvid
from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.problems import BadSampleError
from segtrain.datasets.shapes import build_shapes
from segtrain.inspection.survey import digest_of, survey_split

REAL = os.environ.get("SEGTRAIN_CAMVID")
A = [[0, 0, 1], [0, 255, 1]]
B = [[2, 2, 2, 2], [2, 0, 0, 2]]
C = [[255, 255, 255], [255, 255, 255]]
D = [[1, 1, 1], [1, 1, 255]]


def surveyed(dataset, name="train"):
    """Returns the survey of a split and what was told."""
    problems = []
    return survey_split(dataset, name, problems.append), problems


def test_everything_is_counted(write_dataset):
    dataset = write_dataset(["a", "b", "c", "d"], train=[A, B, C, D], val=[A])
    survey, problems = surveyed(dataset)
    assert survey.count == 4
    assert survey.sizes == Counter({(2, 3): 3, (2, 4): 1})
    assert survey.class_pixels.tolist() == [5, 7, 6, 0]
    assert survey.class_images.tolist() == [2, 2, 1, 0]
    assert survey.pixels_of_images.tolist() == [14, 12, 8, 0]
    assert survey.void_pixels == 8
    assert survey.most_of.tolist() == [0, 3, 1, -1]
    assert survey.was_read.all()
    assert survey.is_sound.all()
    assert [problem.kind for problem in problems] == ["all_void"]
    assert Path(problems[0].file).name == "2.png"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("masks/1.png", "size_mismatch"), ("masks/1.png", "wrong_label"), ("images/1.png", "unreadable"),
     ("masks/1.png", "unreadable"), ("images/1.png", "empty"), ("masks/1.png", "truncated")],
)  # fmt: skip
def test_a_broken_pair_is_told_and_the_others_are_counted(write_dataset, tmp_path, name, kind):
    dataset = write_dataset(["a", "b", "c"], train=[A, B, D], val=[A])
    path = tmp_path / name
    if kind == "size_mismatch":
        Image.fromarray(np.uint8(B)[:, :3]).save(path)
    elif kind == "wrong_label":
        Image.fromarray(np.uint8([[2, 2, 2, 2], [2, 77, 0, 3]])).save(path)
    else:
        content = {"unreadable": b"no image", "empty": b"", "truncated": path.read_bytes()[:50]}[kind]
        path.write_bytes(content)
    survey, (problem,) = surveyed(dataset)
    assert problem.kind == kind if kind in ("size_mismatch", "wrong_label") else "unreadable"
    assert problem.file == str(path)
    assert str(path) in problem.detail
    assert "\n" not in problem.detail
    if kind == "wrong_label":
        assert "label 77 at row 1, column 1" in problem.detail
    assert survey.is_sound.tolist() == [True, False, True]
    # The broken pair counts as far as it can be read.
    assert survey.was_read.tolist() == [True, kind == "size_mismatch", True]
    assert survey.class_pixels.tolist() == ([5, 7, 4] if kind == "size_mismatch" else [3, 7, 0])
    assert survey.sizes == {(2, 3): 2} | ({(2, 4): 1} if kind in ("size_mismatch", "wrong_label", "truncated") else {})


class Generated:
    """A split without files. Implements `Split`."""

    def __init__(self, *samples):
        self._samples = samples

    def __len__(self):
        return len(self._samples)

    def name(self, index):
        return f"number {index}"

    def source(self, index):
        return f"generated, {self.name(index)}"

    def sizes(self, index):
        return (2, 3), (2, 3)

    def read(self, index):
        if isinstance(self._samples[index], Exception):
            raise self._samples[index]
        return np.zeros((2, 3, 3), np.uint8), np.uint8(self._samples[index])


def generated(*samples):
    return SegmentationDataset("generated", {"train": Generated(*samples)}, ["a", "b"], 255, [(0, 0, 0), (9, 9, 9)])


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (BadSampleError("wrong_label", "generated, number 1: 'cat' is no class."), "wrong_label", "'cat' is no class."),
        (BadSampleError("size_mismatch", "it is larger."), "size_mismatch", "generated, number 1: it is larger."),
        (ValueError("broken"), "unreadable", "generated, number 1: broken"),
        (KeyError("mask"), "unreadable", "generated, number 1: KeyError: 'mask'"),
        (ZeroDivisionError("division by zero"), "unreadable", "ZeroDivisionError: division by zero"),
    ],
    ids=["kind told", "size", "ValueError", "KeyError", "ZeroDivisionError"],
)
def test_whatever_a_sample_raises_is_told_and_the_others_are_counted(error, kind, words):
    survey, (problem,) = surveyed(generated(A, error, D))
    assert (problem.kind, problem.file) == (kind, "generated, number 1")
    assert words in problem.detail
    assert survey.is_sound.tolist() == [True, False, True]
    assert survey.class_pixels.tolist() == [3, 7]


def test_wrong_labels_beside_void_are_not_void_alone():
    survey, (problem,) = surveyed(generated([[255, 255, 255], [255, 9, 8]]))
    assert problem.kind == "wrong_label"
    assert (survey.void_pixels, survey.wrong_pixels, survey.is_all_void) == (4, 2, False)
    survey, (problem,) = surveyed(generated(C))
    assert problem.kind == "all_void"
    assert (survey.void_pixels, survey.wrong_pixels, survey.is_all_void) == (6, 0, True)


def test_problems_are_told_in_the_order_of_the_pairs(write_dataset):
    wrong = [[0, 9]]
    dataset = write_dataset(["a", "b"], train=[[[0, 1]]] + [wrong] * 150, val=[[[0, 1]]])
    survey, problems = surveyed(dataset)
    assert [Path(problem.file).stem for problem in problems] == [str(number) for number in range(1, 151)]
    assert survey.is_sound.sum() == 1


def test_memory_does_not_grow_with_what_is_read():
    """Of each pair a few bytes stay; its pixels, counts and messages do not."""

    def kept_of(count):
        dataset = build_shapes(num_train=count, height=16, width=16)
        gc.collect()
        tracemalloc.start()
        try:
            survey, _ = surveyed(dataset)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
            assert survey.count == count

    kept_of(100)  # what is made once is made now
    # An image has 768 bytes, and the counts of a mask 2048.
    assert kept_of(1100) - kept_of(100) < 100 * 1000


def test_a_digest_is_of_pixels_and_shape():
    image = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    other = image.copy()
    other[5, 3, 2] ^= 1
    digests = [digest_of(each) for each in (image, other, image.reshape(4, 6, 3), image[:, ::-1])]
    assert len(set(digests)) == 4
    assert {len(digest) for digest in digests} == {16}
    assert digest_of(np.asfortranarray(image)) == digest_of(image)


@pytest.mark.skipif(REAL is None, reason="SEGTRAIN_CAMVID names no CamVid folder")
def test_the_real_camvid_equals_an_independent_count():
    dataset = build_camvid(root=REAL)
    counts = {}
    for name, count in (("train", 367), ("val", 101)):
        survey, problems = surveyed(dataset, name)
        masks = [np.array(Image.open(path)) for path in sorted(Path(REAL, f"{name}annot").glob("*.png"))]
        assert len(masks) == survey.count == count
        assert problems == []
        assert survey.is_sound.all()
        assert survey.sizes == {(360, 480): count}
        stack = np.stack(masks)
        assert survey.class_pixels.tolist() == [int((stack == value).sum()) for value in range(11)]
        assert survey.class_images.tolist() == [int((stack == value).any((1, 2)).sum()) for value in range(11)]
        assert survey.void_pixels == (stack == 11).sum()
        counts[name] = survey
    # What somebody else counted: github.com/alexgkendall/caffe-segnet/issues/37.
    assert counts["train"].class_pixels.tolist() == [
        10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385, 184967,
    ]  # fmt: skip
    assert counts["train"].class_images.tolist() == [366, 365, 366, 367, 349, 319, 351, 173, 360, 317, 201]
    assert (counts["train"].pixels_of_images == counts["train"].class_images * 360 * 480).all()
