"""Which files are meant; nothing is opened."""

import os
from pathlib import Path

import pytest

from segtrain.prediction.inputs import InputFile, find_inputs

FILES = [
    "photos/b.JPG",
    "photos/a.png",
    "photos/x.y.tif",
    "photos/2024/may/a.jpg",
    "photos/2024/clip.mp4",
    "photos/[a].png",
    "photos/notes.txt",
    "photos/._a.png",
    "photos/.hidden/a.png",
    "photos/masks/a.png",
    "raw.dat",
    "*.png",
]
OUT = Path("out")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)


def stems(typed, output=OUT):
    return {file.stem for file in find_inputs(typed, output)}


IN_PHOTOS = {"b", "a", "x.y", "2024/may/a", "2024/clip", "[a]", "masks/a"}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("photos", IN_PHOTOS),
        ("photos/", IN_PHOTOS),
        ("photos/../photos", IN_PHOTOS),
        ("photos/**", IN_PHOTOS),
        ("photos/2024", {"may/a", "clip"}),
        ("photos/*", {"b", "a", "x.y", "[a]"}),
        ("photos/**/*.jpg", {"2024/may/a"}),
        ("photos/**/a.*", {"a", "2024/may/a", "masks/a"}),
        ("*/a.png", {"photos/a"}),
        ("photos/[ab].*", {"a", "b"}),
        ("photos/[a].png", {"[a]"}),  # which is there by that name
        ("*.png", {"*"}),
        ("photos/b.JPG", {"b"}),
        ("photos/2024/clip.mp4", {"clip"}),
        ("raw.dat", {"raw"}),  # what is named is tried, whatever its ending
        (["photos/a.png", "photos/2024", "photos/x*"], {"a", "may/a", "clip", "x.y"}),
        (["photos/a.png", "photos/../photos/a.png", "photos/[ab].png"], {"a"}),
    ],
)
def test_what_is_typed_is_found(typed, expected):
    assert stems(typed) == expected


def test_paths_and_names(tmp_path):
    (file,) = find_inputs("photos/**/may/*", OUT)
    assert file == InputFile(Path("photos/2024/may/a.jpg"), "2024/may/a")
    assert not file.is_video
    (file,) = find_inputs(str(tmp_path / "photos" / "**" / "*.mp4"), OUT)
    assert file == InputFile(tmp_path / "photos/2024/clip.mp4", "2024/clip")
    assert file.is_video


def test_the_home_folder_is_known(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert stems("~/photos") == stems("photos")
    assert stems("~/photos/[ab].*") == {"a", "b"}


@pytest.mark.parametrize("typed", ["photos", "photos/**"])
@pytest.mark.parametrize("output", ["photos/masks", "{tmp_path}/photos/masks", "photos/2024/../masks"])
def test_what_was_predicted_before_is_no_input(tmp_path, typed, output):
    assert stems(typed, Path(output.format(tmp_path=tmp_path))) == IN_PHOTOS - {"masks/a"}
    assert "masks/a" in stems(typed, Path("photos/mask"))


def test_a_folder_that_holds_itself_ends():
    os.symlink("..", "photos/2024/up")
    assert stems("photos") == IN_PHOTOS


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("nowhere", "input=nowhere: there is no such file or folder"),
        ("photos/nothing.png", "input=photos/nothing.png: there is no such file or folder"),
        ("empty", "input=empty: holds no image and no video"),
        ("photos/*.gif", r"input=photos/\*.gif: matches no image and no video"),
        ("photos/*.txt", "matches no image"),
        ("nowhere/**/*.png", "matches no image"),
        (["photos/a.png", "nowhere"], "input=nowhere: there is no such"),
        ("a" * 300, "File name too long"),
    ],
)
def test_what_is_not_there_is_told(typed, words):
    with pytest.raises(ValueError, match=words):
        find_inputs(typed, OUT)


def test_nothing_is_not_the_folder_it_is_typed_in(tmp_path, monkeypatch):
    """`input=$PHOTOS`, where the variable is not set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"input= is empty\. Type input=FILE"):
        find_inputs("", tmp_path / "out")
