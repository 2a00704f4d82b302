"""How many processor cores this process may use, in a container too."""

import math
import os
from pathlib import Path

from segtrain.pipeline.free_memory import CGROUP


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
