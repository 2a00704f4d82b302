"""`sweep.fail_fast`: no job begins after one that failed. A file says so, since they may run on several machines."""

import contextlib
from pathlib import Path

from segtrain.run_folder import write_text

STOP = "stopped_after.txt"


def stop_sweep(sweep: Path, job: str) -> None:
    """Has no further job of the sweep begin.

    Args:
        sweep: its folder.
        job: name of the one that failed.
    """
    write_text(sweep / STOP, f"{job}\n")


def stopped_after(sweep: Path) -> str | None:
    """Returns the name of the job whose failure stopped the sweep; None where it goes on."""
    with contextlib.suppress(FileNotFoundError):
        return (sweep / STOP).read_text(encoding="utf-8").strip()
    return None


def let_sweep_go_on(sweep: Path) -> None:
    """Takes back what `stop_sweep` did."""
    (sweep / STOP).unlink(missing_ok=True)
