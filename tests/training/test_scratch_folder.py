"""Folders that go with their process."""

import subprocess
import sys
import tempfile

import pytest

from segtrain.training.scratch_folder import clear_left_behind, scratch_folder

LIVES = """
import sys
from segtrain.training.scratch_folder import scratch_folder
with scratch_folder() as folder:
    (folder / "state").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_folder_goes_with_its_block(place):
    with scratch_folder() as folder, scratch_folder() as other:
        (folder / "file").touch()
        assert sorted(place.iterdir()) == sorted([folder, other])
    assert not list(place.iterdir())


def test_that_of_a_killed_process_is_cleared_away_and_that_of_one_that_lives_is_not(place):
    processes = [
        subprocess.Popen([sys.executable, "-c", LIVES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        for _ in range(2)
    ]
    killed, living = processes
    try:
        folders = [process.stdout.readline().strip() for process in processes]
        killed.kill()
        killed.wait()
        (place / "segtrain-worker-link").symlink_to(place)
        (place / "of somebody else").mkdir()
        assert len(list(place.iterdir())) == 4
        clear_left_behind()
        left = [place / "of somebody else", place / "segtrain-worker-link", place / folders[1]]
        assert sorted(place.iterdir()) == sorted(left)
        assert (place / folders[1] / "state").is_file()
        living.communicate("", timeout=60)
        assert sorted(place.iterdir()) == left[:2]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
