"""Which of the files in checkpoints/last/ a run goes on from, and which stay."""

import os

import numpy as np
import pytest

from segtrain.run_folder import RunFolder
from segtrain.training.state_files import (
    FoundState,
    best_path,
    drop_old,
    files_until,
    find_state,
    go_back_to,
    publish_best,
    state_path,
)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.last.mkdir(parents=True)
    return folder


def write_state(folder, epoch, step=0):
    path = state_path(folder, epoch, step)
    np.savez(path.open("wb"), weights=np.arange(1000.0), epoch=epoch)
    return path


def write_best(folder, epoch):
    best_path(folder, epoch).write_text(f"network {epoch}")


def names(folder):
    return sorted(path.name for path in folder.last.iterdir())


def test_the_newest_is_found_by_position(folder):
    """Not by the clock, which may have gone back, nor by the order of letters."""
    for epoch, step in [(9, 7), (10, 3), (9, 99), (10, 0)]:
        write_state(folder, epoch, step)
    write_state(folder, 12345, 123456)
    assert (find_state(folder).epoch, find_state(folder).step) == (12345, 123456)
    state_path(folder, 12345, 123456).unlink()
    assert (find_state(folder).epoch, find_state(folder).step) == (10, 3)


def test_the_newest_before_a_place_is_found(folder):
    for epoch, step in [(1, 0), (1, 4), (2, 0)]:
        write_state(folder, epoch, step)
    places = {(2, 1): (2, 0), (2, 0): (1, 4), (1, 5): (1, 4), (1, 4): (1, 0), (1, 0): (0, 0)}
    for before, expected in places.items():
        found = find_state(folder, before=before)
        assert (found.epoch, found.step) == expected
        assert (found.path is None) == (expected == (0, 0))
    state_path(folder, 1, 4).write_bytes(b"damaged")
    found = find_state(folder, before=(2, 0))
    assert (found.epoch, found.step, found.damaged) == (1, 0, [state_path(folder, 1, 4)])


def test_there_may_be_none(tmp_path):
    found = find_state(RunFolder(tmp_path))
    assert (found.path, found.epoch, found.step, found.damaged) == (None, 0, 0, [])


def test_every_bit_of_the_weights_is_checked(folder):
    """A bit in 60: each is flipped in the newest, which is then left for the one before."""
    write_state(folder, 1)
    path = write_state(folder, 2)
    content = path.read_bytes()
    start = content.index(np.arange(1000.0).tobytes())
    places = range(start, start + 8000, 137)
    assert len(places) > 50
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = find_state(folder)
        assert (found.epoch, found.damaged) == (1, [path])


@pytest.mark.parametrize("length", [0, 1, 100, 4000, -1])
def test_a_file_that_was_cut_is_left_for_the_one_before(folder, length):
    write_state(folder, 1)
    path = write_state(folder, 2)
    path.write_bytes(path.read_bytes()[:length])
    found = find_state(folder)
    assert (found.epoch, found.damaged) == (1, [path])


def test_going_back_leaves_nothing_of_what_came_after(folder):
    for epoch, step in [(1, 0), (2, 0), (2, 5)]:
        write_state(folder, epoch, step)
    for epoch in (1, 2, 3):
        write_best(folder, epoch)
    state_path(folder, 2, 5).write_bytes(b"damaged")
    folder.best_model.write_text("network 3")
    folder.metrics.with_name(".abc.17.part.csv").write_text("half")
    best_path(folder, 4).with_name(".abc.17.part.keras").write_text("half")
    go_back_to(folder, find_state(folder))
    assert names(folder) == [
        "best-epoch-0001.keras",
        "best-epoch-0002.keras",
        "epoch-0001-step-00000.npz",
        "epoch-0002-step-00000.npz",
    ]
    assert folder.best_model.read_text() == "network 2"
    assert not list(folder.path.rglob(".*"))


def test_what_there_was_when_a_state_was_saved(folder):
    for epoch, step in [(1, 0), (2, 0), (2, 5)]:
        write_state(folder, epoch, step)
    for epoch in (1, 2, 3):
        write_best(folder, epoch)
    state_path(folder, 1, 0).with_name(".abc.17.part.npz").write_text("half")
    state = FoundState(state_path(folder, 2, 0), 2, 0, damaged=[state_path(folder, 1, 0)])
    told = {path.name for path in files_until(folder, state)}
    assert told == {"best-epoch-0001.keras", "best-epoch-0002.keras", "epoch-0002-step-00000.npz"}


def test_going_back_to_before_the_first_best_leaves_none(folder):
    write_state(folder, 0)
    write_best(folder, 1)
    folder.best_model.write_text("network 1")
    go_back_to(folder, find_state(folder))
    assert names(folder) == ["epoch-0000-step-00000.npz"]
    assert not folder.best_model.exists()


def test_best_is_one_file_of_two_names(folder):
    write_best(folder, 3)
    publish_best(folder)
    assert os.path.samefile(folder.best_model, best_path(folder, 3))


def test_without_links_it_is_copied(folder, monkeypatch):
    def no_links(*_):
        raise OSError("Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write_best(folder, 3)
    publish_best(folder)
    assert folder.best_model.read_text() == "network 3"


@pytest.mark.parametrize(
    ("keep", "states", "networks", "kept"),
    [
        (1, [(1, 0), (2, 0), (3, 0)], [1, 2], [2]),
        (2, [(1, 0), (2, 0), (3, 0)], [1, 2, 3], [2, 3]),
        (2, [(1, 0), (2, 0), (3, 0)], [1, 3], [1, 3]),
        (2, [(3, 4), (3, 8), (3, 12)], [1, 3], [3]),
        (2, [(0, 4), (0, 8), (1, 0)], [1], [1]),
        (5, [(1, 0), (2, 0)], [1, 2], [1, 2]),
    ],
)
def test_networks_stay_as_long_as_a_state_counts_them(folder, keep, states, networks, kept):
    for position in states:
        write_state(folder, *position)
    for epoch in networks:
        write_best(folder, epoch)
    drop_old(folder, keep)
    assert names(folder) == [
        *(best_path(folder, epoch).name for epoch in kept),
        *(state_path(folder, *position).name for position in states[-keep:]),
    ]
