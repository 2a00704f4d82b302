import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from segtrain.datasets.camvid import build_camvid
from segtrain.datasets.mask_files import read_labels

REAL = os.environ.get("SEGTRAIN_CAMVID")


@pytest.fixture
def camvid(tmp_path, write_pairs):
    """A made-up folder in the published layout; lists hold the authors' own paths, in an order of theirs."""
    written = {
        "train": write_pairs("train", "trainannot", ["a", "b", "c", "d"], labels=(0, 3, 10, 11)),
        "val": write_pairs("val", "valannot", ["e", "f"], labels=(0, 3, 10, 11)),
    }
    for split, names in (("train", "dbac"), ("val", "fe")):
        (tmp_path / f"{split}.txt").write_text(
            "".join(f"/SegNet/CamVid/{split}/{n}.png /SegNet/CamVid/{split}annot/{n}.png\n" for n in names) + "\n"
        )
    return tmp_path, written


def names_of(dataset, split):
    return [dataset.split(split).name(index) for index in range(len(dataset.split(split)))]


def test_images_and_masks_are_read_in_the_order_of_the_lists(camvid):
    root, written = camvid
    dataset = build_camvid(root=str(root))
    assert names_of(dataset, "train") == list("dbac")
    assert names_of(dataset, "val") == list("fe")
    assert set(dataset.splits) == {"train", "val"}
    for split in ("train", "val"):
        for index, name in enumerate(names_of(dataset, split)):
            image, labels = dataset.read(split, index)
            np.testing.assert_array_equal(image, written[split][name][0])
            np.testing.assert_array_equal(labels, written[split][name][1])
    dataset.check()


def test_a_list_chooses(camvid):
    root, _ = camvid
    (root / "train.txt").write_text("/SegNet/CamVid/train/c.png /SegNet/CamVid/trainannot/c.png\n")
    assert names_of(build_camvid(root=str(root)), "train") == ["c"]


def test_without_lists_all_images_are_taken_sorted(camvid):
    root, _ = camvid
    (root / "train.txt").unlink()
    assert names_of(build_camvid(root=str(root)), "train") == list("abcd")


def test_the_test_split_is_there_with_its_folder(camvid, write_pairs):
    root, _ = camvid
    write_pairs("test", "testannot", ["g", "h"], labels=(0, 11))
    assert names_of(build_camvid(root=str(root)), "test") == ["g", "h"]


def test_void_is_eleven_and_twelve_is_an_error(camvid, write_pairs):
    root, _ = camvid
    write_pairs("val", "valannot", ["e"], labels=(0, 11, 12))
    with pytest.raises(ValueError, match=r"valannot/e\.png: label 12 at row 0, column 2\."):
        build_camvid(root=str(root)).check()


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        (".", "train"),
        ("train", "train"),
        ("trainannot", "trainannot"),
        ("val", "val"),
        ("valannot", "valannot"),
        ("train/b.png", "b.png"),
        ("valannot/f.png", "f.png"),
    ],
)
@pytest.mark.parametrize("with_lists", [True, False])
def test_what_is_missing_is_named(camvid, lost, named, with_lists):
    root, _ = camvid
    if not with_lists:
        for listing in root.glob("*.txt"):
            listing.unlink()
    if (root / lost).is_dir():
        shutil.rmtree(root / lost)
    else:
        (root / lost).unlink()
    if lost == "train/b.png" and not with_lists:
        assert names_of(build_camvid(root=str(root)), "train") == list("acd")
        return
    with pytest.raises(ValueError, match="CamVid|folder|lists|no mask") as error:
        build_camvid(root=str(root))
    assert named in str(error.value).replace(str(root), "")


def test_problems_are_told_and_left_out(camvid):
    root, _ = camvid
    (root / "train" / "b.png").unlink()
    (root / "trainannot" / "c.png").unlink()
    problems = []
    dataset = build_camvid(root=str(root), tell=problems.append)
    assert {(problem.kind, Path(problem.file).relative_to(root).as_posix()) for problem in problems} == {
        ("missing_image", "train/b.png"),
        ("missing_mask", "train/c.png"),
    }
    assert names_of(dataset, "train") == ["d", "a"]
    dataset.check()


@pytest.mark.skipif(REAL is None, reason="SEGTRAIN_CAMVID names no CamVid folder")
def test_the_real_one():
    dataset = build_camvid(root=REAL)
    assert {name: len(dataset.split(name)) for name in ("train", "val")} == {"train": 367, "val": 101}
    assert len(dataset.class_names) == len(set(dataset.class_names)) == len(set(dataset.palette)) == 11
    seen = np.zeros(256, np.int64)
    for name in ("train", "val"):
        split = dataset.split(name)
        for index in range(len(split)):
            assert split.sizes(index) == ((360, 480), (360, 480))
            assert Path(split.source(index)).stem == split.name(index)
            seen += np.bincount(read_labels(Path(split.source(index))).ravel(), minlength=256)
    assert np.flatnonzero(seen).tolist() == list(range(12))
    dataset.check()
