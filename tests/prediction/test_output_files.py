import errno
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from segtrain.prediction import row_bands
from segtrain.prediction.inputs import InputFile
from segtrain.prediction.output_files import (
    draw_overlay,
    require_folder,
    require_free_names,
    write_labels,
    write_probabilities,
)
from segtrain.reports.pictures import overlay

PALETTE = [(10, 20, 30), (200, 0, 100), (0, 250, 0)]
LABELS = np.uint8([[0, 1, 2], [2, 2, 1]])
IMAGE = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_each_format_is_read_back(tmp_path):
    write_labels(IMAGE, LABELS, PALETTE, tmp_path, "sub/x.y", ["palette", "overlay", "ids", "probabilities"])
    assert files_in(tmp_path) == {"sub/x.y.png", "sub/x.y_overlay.png", "sub/x.y_ids.png"}
    palette, ids, mixed = (Image.open(tmp_path / f"sub/x.y{end}.png") for end in ("", "_ids", "_overlay"))
    assert (palette.mode, ids.mode, mixed.mode) == ("P", "L", "RGB")
    np.testing.assert_array_equal(np.asarray(palette), LABELS)
    np.testing.assert_array_equal(np.asarray(ids), LABELS)
    np.testing.assert_array_equal(np.asarray(palette.convert("RGB")), np.uint8(PALETTE)[LABELS])
    np.testing.assert_allclose(np.asarray(mixed), (IMAGE + np.float32(PALETTE)[LABELS]) / 2, atol=1)


def test_an_overlay_in_bands_is_that_of_the_whole(monkeypatch):
    labels = np.random.default_rng(0).integers(0, 3, (17, 9), np.uint8)
    image = np.random.default_rng(1).integers(0, 256, (17, 9, 1), np.uint8)
    monkeypatch.setattr(row_bands, "MOST_VALUES", 9 * 4)
    np.testing.assert_array_equal(draw_overlay(image, labels, PALETTE), overlay(image, labels, PALETTE))


def test_probabilities_are_an_array_of_numpys(tmp_path):
    values = np.random.default_rng(0).dirichlet(np.ones(3), (7, 5)).astype(np.float32)
    path = tmp_path / "out" / "a_probabilities.npy"
    labels = write_probabilities(path, iter([values[:3], values[3:4], values[4:]]), (7, 5, 3))
    stored = np.load(path, allow_pickle=False)
    np.testing.assert_array_equal(stored, values.astype(np.float16))
    np.testing.assert_array_equal(labels, values.argmax(axis=-1))
    assert (stored.dtype, labels.dtype) == (np.float16, np.uint8)
    assert np.load(path, mmap_mode="r").shape == (7, 5, 3)


def test_half_an_array_is_not_left(tmp_path):
    def breaks_off():
        yield np.zeros((3, 5, 3), np.float32)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_probabilities(tmp_path / "a.npy", breaks_off(), (7, 5, 3))
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_with_the_files_name(tmp_path):
    full = mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with (
        mock.patch.object(Image.Image, "save", full),
        pytest.raises(
            OSError, match=r"/a\.png cannot be written: the disk is full\. [^/]*\. Make room for it, or type"
        ),
    ):
        write_labels(IMAGE, LABELS, PALETTE, tmp_path, "a", ["palette"])


def test_where_no_folder_can_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "deep", Path("/proc/nowhere"), tmp_path / ("a" * 300)):
        with pytest.raises(ValueError, match=r"^output=.* cannot be written to: .*Type another folder as output="):
            require_folder(output)
    require_folder(tmp_path / "new" / "deep")
    assert os.listdir(tmp_path) == ["file"]


# Names


def check(tmp_path, names, formats=("palette", "overlay"), overwrite=False, output="out"):
    files = []
    for name in names:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        files.append(InputFile(path, name.rpartition(".")[0]))
    require_free_names(files, tmp_path / output, formats, overwrite)


def make(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()


def test_new_names_are_free(tmp_path):
    check(tmp_path, ["a.png", "b/a.png", "a.b.png", "a_b.jpg", "v.mp4"])


@pytest.mark.parametrize(
    ("names", "formats", "words"),
    [
        (["a.png", "a.jpg"], ["palette"], r"out/a\.png would be written for .*in/a\.png and for .*in/a\.jpg"),
        (["a.png", "a_overlay.png"], ["palette", "overlay"], r"out/a_overlay\.png would be written for"),
        (["a.png", "a_ids.jpg"], ["palette", "ids"], r"a_ids\.png would be written for"),
        (["a.mp4", "a.avi"], ["overlay"], r"a_overlay\.mp4 would be written for"),
        (["a.mp4", "a.avi"], ["ids"], r"out/a would be written for"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_two_are_not_written_to_one(tmp_path, names, formats, words, overwrite):
    with pytest.raises(ValueError, match=words):
        check(tmp_path, names, formats, overwrite)


@pytest.mark.parametrize(
    ("there", "names", "formats"),
    [
        ("out/b/a.png", ["c.png", "b/a.jpg"], ["palette"]),
        ("out/a_probabilities.npy", ["a.png"], ["probabilities"]),
        ("out/a_overlay.mp4", ["a.mp4"], ["overlay"]),
        ("out/a/000007.png", ["a.mp4"], ["palette"]),
    ],
)
def test_what_is_there_is_replaced_when_asked_alone(tmp_path, there, names, formats):
    make(tmp_path, there)
    with pytest.raises(ValueError, match=r"is there already\. Type overwrite=true"):
        check(tmp_path, names, formats)
    check(tmp_path, names, formats, overwrite=True)


def test_an_empty_folder_of_frames_is_free(tmp_path):
    (tmp_path / "out" / "a").mkdir(parents=True)
    check(tmp_path, ["a.mp4"], ["palette"])


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced(tmp_path, overwrite):
    os.symlink("in", tmp_path / "link")
    for output in ("in", "link", "in/../in"):
        with pytest.raises(ValueError, match="would replace an input"):
            check(tmp_path, ["b.jpg", "a.png"], overwrite=overwrite, output=output)


def test_a_folder_where_a_file_goes_is_told(tmp_path):
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"a\.png is a folder"):
        check(tmp_path, ["a.jpg"], overwrite=True)
    make(tmp_path, "out/v")
    with pytest.raises(ValueError, match=r"out/v is a file"):
        check(tmp_path, ["v.mp4"], ["ids"], overwrite=True)
