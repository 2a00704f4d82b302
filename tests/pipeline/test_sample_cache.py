import gc
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from segtrain.pipeline.sample_cache import (
    NUM_LOCKS,
    DiskCache,
    MemoryCache,
    NoCache,
    disk_cache_folder,
    open_cache,
)


@pytest.fixture(autouse=True)
def _temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def make_sample(index):
    """Pixels and size of each sample are its own; the channels too."""
    rng = np.random.default_rng(index)
    height, width, channels = rng.integers(1, 30, 2).tolist() + [(1, 3, 4)[index % 3]]
    return rng.integers(0, 256, (height, width, channels), np.uint8), rng.integers(0, 256, (height, width), np.uint8)


def refuse(index):
    raise AssertionError(f"sample {index} was kept, and is decoded again")


def assert_same(sample, expected):
    for kept, given in zip(sample, expected, strict=True):
        assert kept.dtype == np.uint8
        np.testing.assert_array_equal(kept, given)


def open_memory(count):
    return MemoryCache(count)


def open_disk(count):
    return DiskCache(count, bytes_per_sample=5000)


both_caches = pytest.mark.parametrize("open_kind", [open_memory, open_disk])


@both_caches
def test_what_is_decoded_comes_back_without_decoding(open_kind):
    cache = open_kind(30)
    for index in range(0, 30, 2):
        assert_same(cache.get(index, make_sample), make_sample(index))
    for index in range(0, 30, 2):
        assert_same(cache.get(index, refuse), make_sample(index))
    with pytest.raises(AssertionError, match="sample 7"):
        cache.get(7, refuse)


def test_the_disk_keeps_views_of_images():
    """A flipped image is a view whose bytes lie in another order."""
    image, labels = make_sample(1)
    cache = open_disk(1)
    cache.get(0, lambda index: (image[:, ::-1], labels[:, ::-1]))
    assert_same(cache.get(0, refuse), (image[:, ::-1], labels[:, ::-1]))


@both_caches
def test_threads_that_want_the_same_sample_at_once_have_it_decoded_once(open_kind):
    cache, decoded, start = open_kind(50), [], threading.Barrier(8)

    def decode(index):
        decoded.append(index)
        time.sleep(0.002)  # long enough for all the others to come and find nothing kept
        return make_sample(index)

    def read_all(_):
        for index in range(50):
            start.wait(timeout=60)
            assert_same(cache.get(index, decode), make_sample(index))
        return 50

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read_all, range(8))) == [50] * 8
    assert decoded == list(range(50))


@both_caches
def test_different_samples_are_decoded_beside_each_other(open_kind):
    cache, both_decode = open_kind(2), threading.Barrier(2)

    def decode(index):
        both_decode.wait(timeout=60)  # raises if the other cannot come
        return make_sample(index)

    with ThreadPoolExecutor(2) as threads:
        for index, sample in enumerate(threads.map(lambda index: cache.get(index, decode), range(2))):
            assert_same(sample, make_sample(index))


@both_caches
def test_a_kept_sample_waits_for_no_decoding(open_kind):
    """Not even for that of a sample with the same lock."""
    cache, decoding, may_end = open_kind(NUM_LOCKS + 1), threading.Event(), threading.Event()
    cache.get(0, make_sample)

    def decode(index):
        decoding.set()
        assert may_end.wait(timeout=60)
        return make_sample(index)

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(cache.get, NUM_LOCKS, decode)
        try:
            assert decoding.wait(timeout=60)
            assert_same(threads.submit(cache.get, 0, refuse).result(timeout=60), make_sample(0))
            assert not slow.done()
        finally:
            may_end.set()
        assert_same(slow.result(timeout=60), make_sample(NUM_LOCKS))


@both_caches
def test_a_sample_that_could_not_be_decoded_is_tried_again(open_kind):
    cache = open_kind(1)

    def fail(index):
        raise ValueError("a.png: cannot be read")

    for _ in range(2):
        with pytest.raises(ValueError, match=r"a\.png"):
            cache.get(0, fail)
    assert_same(cache.get(0, make_sample), make_sample(0))


def test_no_cache_keeps_nothing():
    cache, decoded = NoCache(), []
    for _ in range(3):
        assert_same(cache.get(0, lambda index: decoded.append(index) or make_sample(index)), make_sample(0))
    assert decoded == [0, 0, 0]


@pytest.mark.parametrize(
    ("choice", "bytes_per_sample", "kind", "name"),
    [
        ("memory", 10**15, MemoryCache, "memory"),
        ("disk", 1, DiskCache, "disk"),
        ("none", 1, NoCache, "none"),
        ("auto", 1, MemoryCache, "memory"),
        ("auto", 10**15, NoCache, "none"),
    ],
)
def test_the_choice_names_the_cache(choice, bytes_per_sample, kind, name):
    cache = open_cache(choice, 3, bytes_per_sample)
    assert (type(cache), cache.kind) == (kind, name)


def write_limit(folder, **files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_auto_takes_the_disk_where_the_containers_memory_is_too_small(tmp_path):
    write_limit(tmp_path / "cgroup", memory__max=1_000_000, memory__current=0)
    assert open_cache("auto", 10, 29_000, cgroup=tmp_path / "cgroup").kind == "memory"
    assert open_cache("auto", 10, 31_000, cgroup=tmp_path / "cgroup").kind == "disk"


@pytest.mark.parametrize("variable", ["TMPDIR", "TEMP", "TMP"])
def test_the_disk_cache_goes_where_the_environment_says(tmp_path, monkeypatch, variable):
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert disk_cache_folder() == tmp_path


def test_the_disk_cache_goes_to_a_folder_on_disk_where_the_environment_says_nothing(monkeypatch):
    """`/tmp` is memory on many systems."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    is_there = os.path.isdir("/var/tmp") and os.access("/var/tmp", os.W_OK)
    assert str(disk_cache_folder()) == ("/var/tmp" if is_there else tempfile.gettempdir())


@pytest.mark.parametrize("kind_of_path", ["missing", "file"])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch, kind_of_path):
    path = tmp_path / kind_of_path
    if kind_of_path == "file":
        path.touch()
    monkeypatch.setenv("TMPDIR", str(path))
    with pytest.raises(OSError, match=rf"Received: {re.escape(str(path))} \(.*TMPDIR=.*dataset\.cache=none"):
        open_cache("disk", 1, 1)
    assert open_cache("auto", 1, 10**15).kind == "none"


def test_a_disk_that_is_too_small_is_told_when_the_cache_is_opened(tmp_path):
    with pytest.raises(OSError, match=r"TMPDIR=.*dataset\.cache=none") as error:
        open_cache("disk", 1000, 10**12)
    needed, folder, free = re.search(r"need ([\d,.]+) MB in (.+)\. Free are ([\d,.]+) MB", str(error.value)).groups()
    assert (needed, folder) == ("1,000,000,000.0", str(tmp_path))
    disk = os.statvfs(tmp_path)
    assert float(free.replace(",", "")) == pytest.approx(disk.f_bavail * disk.f_frsize / 1e6, rel=0.2)
    assert list(tmp_path.iterdir()) == []


def test_two_splits_have_to_fit_together(tmp_path):
    """Neither takes any space when it is opened."""
    most = int(0.6 * shutil.disk_usage(tmp_path).free)
    training = DiskCache(1, most)
    with pytest.raises(OSError, match=rf"other splits need {most / 1e6:,.1f} MB"):
        DiskCache(1, most)
    write_limit(tmp_path / "cgroup", memory__max=1000, memory__current=0)
    assert open_cache("auto", 1, most, cgroup=tmp_path / "cgroup").kind == "none"
    del training
    DiskCache(1, most)


def test_the_cache_of_an_earlier_run_that_is_not_yet_collected_takes_no_space(tmp_path):
    most = int(0.6 * shutil.disk_usage(tmp_path).free)
    gc.disable()
    try:
        circle = [DiskCache(1, most)]
        circle.append(circle)
        del circle
        DiskCache(1, most)
    finally:
        gc.enable()


@pytest.mark.parametrize("room", [0, 100], ids=["no byte", "some bytes"])
def test_a_disk_that_fills_up_meanwhile_is_told_and_nothing_half_written_is_kept(tmp_path, room):
    """The largest size a file may have is the one limit on writing that a test may set."""
    cache, large = open_disk(3), (np.full((40, 50, 3), 7, np.uint8), np.full((40, 50), 9, np.uint8))
    cache.get(0, lambda index: large)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000 + room, before[1]))
    try:
        with pytest.raises(OSError, match=rf"{re.escape(str(tmp_path))} is full.*TMPDIR=.*dataset\.cache=none"):
            cache.get(1, lambda index: large)
        assert_same(cache.get(0, refuse), large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_same(cache.get(1, make_sample), make_sample(1))
    assert_same(cache.get(1, refuse), make_sample(1))


def test_the_disk_cache_has_no_name(tmp_path):
    cache = open_disk(2)
    cache.get(0, make_sample)
    assert list(tmp_path.iterdir()) == []
    assert_same(cache.get(0, refuse), make_sample(0))


FILLS_A_CACHE = """
import numpy as np
from segtrain.pipeline.sample_cache import DiskCache

cache = DiskCache(10**6, 4096)
for index in range(10**6):
    cache.get(index, lambda index: (np.full((32, 32, 3), 7, np.uint8), np.full((32, 32), 7, np.uint8)))
    if index == 100:
        print("filling", flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="what a process has open is seen in /proc")
def test_a_cache_that_was_killed_leaves_nothing_and_is_not_believed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", FILLS_A_CACHE], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "filling\n"
            open_files = [path for path in Path(f"/proc/{process.pid}/fd").iterdir() if path.exists()]
            in_folder = [path for path in open_files if os.readlink(path).startswith(f"{tmp_path}/")]
            assert len(in_folder) == 1
            assert in_folder[0].stat().st_size > 100 * 4096
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []

    cache, decoded = open_disk(20), []
    for index in range(20):
        cache.get(index, lambda index: decoded.append(index) or make_sample(index))
    assert decoded == list(range(20))
    for index in range(20):
        assert_same(cache.get(index, refuse), make_sample(index))
