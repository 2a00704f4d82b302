import psutil
import pytest

from segtrain.pipeline.free_memory import free_memory

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
