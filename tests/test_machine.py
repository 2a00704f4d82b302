import os

import psutil
import pytest

from segtrain.machine import forget_peak_memory, free_memory, peak_memory, usable_cores

STATISTICS = "anon 500\nfile 60000\ninactive_file 30000\ntotal_inactive_file 40000"
UNLIMITED = 0x7FFFFFFFFFFFF000  # what version 1 writes where there is no limit


@pytest.mark.parametrize(
    ("folder", "files", "left"),
    [
        (".", {"memory__max": 900_000, "memory__current": 200_000}, 700_000),
        (".", {"memory__max": 900_000, "memory__current": 200_000, "memory__stat": STATISTICS}, 730_000),
        (".", {"memory__max": 900_000, "memory__current": 1_000_000}, 0),
        ("memory", {"memory__limit_in_bytes": 900_000, "memory__usage_in_bytes": 300_000}, 600_000),
        (
            "memory",
            {"memory__limit_in_bytes": 900_000, "memory__usage_in_bytes": 300_000, "memory__stat": STATISTICS},
            640_000,
        ),
        (".", {"memory__max": "max", "memory__current": 200_000}, None),
        ("memory", {"memory__limit_in_bytes": UNLIMITED, "memory__usage_in_bytes": 300_000}, None),
        (".", {}, None),
    ],
)
def test_free_memory_is_what_the_container_leaves(tmp_path, folder, files, left):
    """`left` is None where there is no limit: then it is the machine's, which is some hundred megabytes at least."""
    group = tmp_path / "cgroup" / folder
    group.mkdir(parents=True)
    for name, text in files.items():
        (group / name.replace("__", ".")).write_text(f"{text}\n")
    free = free_memory(tmp_path / "cgroup")
    if left is None:
        assert 100_000_000 < free <= psutil.virtual_memory().total
    else:
        assert free == left


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "6400000 100000"}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu.max": "?"}, 8),
        ({}, 8),
    ],
)
def test_a_containers_quota_counts_where_it_is_less_than_the_cores(tmp_path, monkeypatch, files, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert usable_cores(tmp_path) == cores


def test_the_cores_that_the_process_is_bound_to_count():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= usable_cores() <= len(before)


def test_peak_memory_is_held_until_it_is_forgotten():
    forget_peak_memory()
    before = peak_memory()
    held = bytearray(300_000_000)
    held[::4096] = b"x" * len(held[::4096])
    del held
    assert peak_memory() >= before + 250_000_000
    forget_peak_memory()
    assert peak_memory() < before + 100_000_000
    assert peak_memory() >= psutil.Process().memory_info().rss - 2**24
