import os
import subprocess
import sys
from pathlib import Path

import pytest

import segtrain
from segtrain.datasets.data_folder import data_folder, nothing_prepared, only_process

HOLDS_A_LOCK = """
import sys
from segtrain.datasets.data_folder import only_process
with only_process(sys.argv[1]):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(data):
    """Starts a process that holds a lock until its input ends; returns it when it is in."""
    processes = []

    def hold(name: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS_A_LOCK, name],
            env=os.environ | {"PYTHONPATH": str(Path(segtrain.__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield hold
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SEGTRAIN_DATA": "/disk/data", "XDG_CACHE_HOME": "/cache"}, "/disk/data"),
        ({"SEGTRAIN_DATA": "~/data"}, "/home/me/data"),
        ({"SEGTRAIN_DATA": "", "XDG_CACHE_HOME": "/cache"}, "/cache/segtrain"),
        ({}, "/home/me/.cache/segtrain"),
    ],
)
def test_the_folder_is_the_users_choice(monkeypatch, variables, expected):
    for name in ("SEGTRAIN_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    assert data_folder() == Path(expected)


def test_one_process_is_in_at_a_time(hold):
    first = hold("pets")
    assert first.stdout.readline() == "in\n"
    second = hold("pets")
    assert second.stderr.readline() == "segtrain: another process prepares pets; waiting for it.\n"
    first.stdin.close()
    assert second.stdout.readline() == "in\n"
    assert first.wait() == 0


def test_a_killed_process_lets_the_next_one_in(hold):
    killed = hold("pets")
    assert killed.stdout.readline() == "in\n"
    killed.kill()
    killed.wait()
    assert hold("pets").stdout.readline() == "in\n"


def test_other_names_do_not_wait(hold, capsys):
    assert hold("pets").stdout.readline() == "in\n"
    with only_process("cars"):
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("data")
def test_an_error_of_who_is_in_stays_what_it_is():
    with pytest.raises(OSError, match="^its own$"), only_process("pets"):
        raise OSError("its own")
    with only_process("pets"):  # and the lock is free again
        pass


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEGTRAIN_DATA", str(tmp_path / "file"))
    wanted = only_process("pets")
    with pytest.raises(OSError, match=f"{tmp_path}/file cannot be written to .* or type SEGTRAIN_DATA="):
        wanted.__enter__()


def test_nothing_is_prepared_where_it_is_not_worth_it(data):
    with nothing_prepared("fun"):
        with pytest.raises(FileNotFoundError, match="pets is not in .* not downloaded or prepared for fun$") as refusal:
            only_process("pets").__enter__()
        assert str(data_folder()) in str(refusal.value)
    assert not data_folder().exists() or not list(data_folder().rglob("*"))
    with only_process("pets"):
        pass
