import contextlib
import errno
import json
import os
import re
import resource
import subprocess

import numpy as np
import pytest

from segtrain.run_folder import RunFolder, write_text, written_whole


def finish(path):
    """Makes the files of a finished run."""
    folder = RunFolder(path)
    for file in (folder.config, folder.best_model):
        write_text(file, "there")
    folder.write_results({"status": "completed"})
    return folder


@pytest.mark.parametrize("name", ["file.txt", "no_suffix", "state.tar.gz", "übung, a=b/gewählt 写.json"])
def test_a_file_is_written_as_a_whole(tmp_path, name):
    path = tmp_path / "deep" / "down" / name
    for text in ("first", "é second"):
        with written_whole(path) as temporary:
            assert temporary.parent == path.parent
            assert temporary.suffix == (path.suffix or ".part")
            temporary.write_text(text, encoding="utf-8")
            assert not path.exists() or path.read_text(encoding="utf-8") == "first"
        assert path.read_text(encoding="utf-8") == text
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("former", [None, "former"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_former_file_and_nothing_else(tmp_path, former, error):
    path = tmp_path / "file.txt"
    if former:
        path.write_text(former)

    def write():
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        write()
    assert [file.read_text() for file in tmp_path.iterdir()] == ([former] if former else [])


def test_who_reads_meanwhile_reads_the_former_file_to_its_end(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "former")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "former"


def test_a_writer_that_writes_nothing_is_an_error(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("former")
    with pytest.raises(FileNotFoundError), written_whole(path):
        pass
    assert path.read_text() == "former"


def test_results_come_back(tmp_path):
    folder = RunFolder(tmp_path / "läufe, é=1")
    results = {"status": "completed", "val": {"mean_iou": 0.5, "per_class_iou": {"straße": 1}}, "size": [32, 48]}
    folder.write_results(results)
    assert folder.read_results() == results
    assert "straße" in folder.results.read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), np.float64("nan")])
def test_what_is_no_number_is_null(tmp_path, number):
    folder = RunFolder(tmp_path)
    folder.write_results({"a": number, "b": {"c": [1.5, number, (number,)]}, 3: np.float64(0.25)})

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    read = json.loads(folder.results.read_text(), parse_constant=refuse)
    assert read == {"a": None, "b": {"c": [1.5, None, [None]]}, "3": 0.25}


@pytest.mark.parametrize(
    "content", [None, b"", b'{"status": ', b"\xff\xfe{}"], ids=["missing", "empty", "half", "binary"]
)
def test_results_that_cannot_be_read_are_named(tmp_path, content):
    folder = RunFolder(tmp_path)
    if content is not None:
        folder.results.write_bytes(content)
    with pytest.raises(ValueError, match=r"results\.json cannot be read"):
        folder.read_results()


@pytest.mark.parametrize("name", ["run", "läufe, é=1/写"])
def test_a_finished_run_is_found(tmp_path, name):
    finish(tmp_path / name)
    for path in (tmp_path / name, str(tmp_path / name)):
        assert RunFolder.of_run(path).read_results() == {"status": "completed"}


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (["config.yaml"], "is no run folder.*It has no config.yaml. "),
        (["results.json"], "is no run folder.*It has no results.json. "),
        (["config.yaml", "results.json"], "It has no config.yaml and no results.json. "),
        (["checkpoints/best.keras"], "has no checkpoints/best.keras.*callbacks=none"),
    ],
)
def test_what_a_run_lacks_is_told(tmp_path, lost, said):
    finish(tmp_path / "run")
    for name in lost:
        (tmp_path / "run" / name).unlink()
    with pytest.raises(ValueError, match=f"run={tmp_path / 'run'} {said}" if said.startswith(("is", "has")) else said):
        RunFolder.of_run(tmp_path / "run")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"There is no such folder.*outputs/<date>/<time>"):
        RunFolder.of_run(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_the_names_are_those_of_the_design(tmp_path):
    folder = RunFolder(tmp_path)
    names = {
        name: getattr(folder, name).relative_to(tmp_path).as_posix()
        for name in ("config", "results", "metrics", "report", "best_model", "last", "predictions", "tensorboard")
    }
    assert names == {
        "config": "config.yaml",
        "results": "results.json",
        "metrics": "metrics.csv",
        "report": "report.html",
        "best_model": "checkpoints/best.keras",
        "last": "checkpoints/last",
        "predictions": "predictions",
        "tensorboard": "tensorboard",
    }


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    folder = RunFolder(tmp_path)
    other = RunFolder(tmp_path).held()
    with folder.held(), pytest.raises(ValueError, match="Another process is training in"):
        other.__enter__()
    with folder.held():
        assert [path.name for path in tmp_path.iterdir()] == ["segtrain.log"]


# Disks that take no more.


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def largest_file(num_bytes):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_over_the_limit_is_told_and_the_former_one_is_whole(tmp_path):
    path = tmp_path / "state.npz"
    path.write_bytes(b"former")
    with largest_file(10_000), pytest.raises(OSError, match="a file may not be as large here") as error:
        write_text(path, "x" * 50_000)
    assert error.value.errno == errno.EFBIG
    assert f"{path} cannot be written" in str(error.value)
    assert "It needs 50,000 bytes or more" in str(error.value)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == b"former"
    assert os.listdir(tmp_path) == ["state.npz"]


def test_a_full_disk_is_told_and_the_former_file_is_whole(small_disk):
    path = small_disk / "run" / "state.npz"
    for size in (100_000, 3_000_000):
        rest = np.zeros(size, np.uint8)
        if size == 100_000:
            with written_whole(path) as temporary:
                np.savez(temporary, rest=rest)
            continue
        with pytest.raises(OSError, match="the disk is full") as error, written_whole(path) as temporary:
            np.savez(temporary, rest=rest)
    assert re.search(r"It needs [\d,]{7,} bytes or more, free are [\d,]+\.", str(error.value))
    assert os.listdir(path.parent) == ["state.npz"]
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["rest"].shape == (100_000,)


def test_a_read_only_disk_is_told(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="the disk is read-only. It needs 4 bytes or more") as error:
        write_text(small_disk / "run" / "results.json", "text")
    assert error.value.errno == errno.EROFS


def test_what_fails_to_be_read_meanwhile_is_told_as_that(tmp_path):
    with pytest.raises(FileNotFoundError, match="image.png"), written_whole(tmp_path / "scores.csv"):
        (tmp_path / "image.png").read_bytes()
