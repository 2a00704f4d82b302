"""What this process may use of the machine, in a container too: memory and processor cores."""

import contextlib
import math
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
PROCESS = Path("/proc/self")


def free_memory(cgroup: Path = CGROUP) -> int:
    """Returns how many bytes of memory are to be had: the machine's, or what the container's limit leaves if less.

    Args:
        cgroup: folder of the process's control group, version 2, or of the controllers' groups, version 1.
    """
    version_2 = _left_of_limit(cgroup, "memory.max", "memory.current", "inactive_file")
    version_1 = _left_of_limit(
        cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    )
    return max(0, min([psutil.virtual_memory().available, *version_2, *version_1]))


def peak_memory() -> int:
    """Returns the most bytes of memory that the process has held, since `forget_peak_memory` where the system can."""
    try:
        lines = (PROCESS / "status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        # Not the first choice: under Linux it begins with what the parent held.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak_memory() -> None:
    """Has `peak_memory` begin anew with what the process holds now. Of systems, Linux can."""
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text("5")


def _left_of_limit(folder: Path, limit_file: str, usage_file: str, file_pages: str) -> Iterator[int]:
    """Yields what a control group's limit leaves, if it is there and has one."""
    try:
        limit = (folder / limit_file).read_text().strip()
        usage = int((folder / usage_file).read_text())
    except OSError:
        return
    if limit != "max":
        yield int(limit) - usage + _reclaimable(folder, file_pages)


def _reclaimable(folder: Path, file_pages: str) -> int:
    """Returns the bytes of files read a while ago that count as used and are given up when memory is asked for."""
    try:
        fields = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return 0
    return next((int(value) for name, value in fields if name == file_pages), 0)


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Returns the cores that the process is bound to, or what the container's quota makes of them if less.

    Args:
        cgroup: folder of the process's control group, version 2, or of the controllers' groups, version 1.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(bound, _quota(cgroup))))


def _quota(cgroup: Path) -> float:
    """Returns the processor time a second that a control group is given, in seconds; infinite where it has no limit."""
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(quota) / float(period) if quota.strip() not in ("max", "-1") else float("inf")
    except (OSError, ValueError):
        return float("inf")
