"""A GPU for each job: one that no other job of this machine holds at the moment."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

VISIBLE = "CUDA_VISIBLE_DEVICES"
SECONDS_BETWEEN_TRIES = 0.5


@contextlib.contextmanager
def one_gpu(gpus: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
    """Holds one of the GPUs, waiting for the first that is free.

    Args:
        gpus: their names as CUDA has them; by default those that this process may see.

    Yields:
        The environment in which a process sees that GPU alone. Empty where there is none.
    """
    gpus = visible_gpus() if gpus is None else gpus
    if not gpus:
        yield {}
        return
    # Beside no sweep: those of another sweep and of another user want the same GPUs.
    folder = Path(tempfile.gettempdir()) / "segtrain-gpus"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    with contextlib.ExitStack() as held:
        yield {VISIBLE: _wait_for_one(gpus, folder, held)}


def visible_gpus() -> list[str]:
    """Returns the GPUs that this process may see, as CUDA names them."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name not in ("", "-1")]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    return []


def _wait_for_one(gpus, folder, held):
    while True:
        for gpu in gpus:
            lock = FileLock(folder / f"{gpu}.lock", timeout=0, mode=0o666)
            with contextlib.suppress(Timeout):
                held.enter_context(lock)
                return gpu
        time.sleep(SECONDS_BETWEEN_TRIES)
