"""Folders of processes that keep nothing. Imports no TensorFlow."""

import contextlib
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Of this host: the folder may be on a disk of several, where a lock is not seen by the others.
PREFIX = f"segtrain-worker-{socket.gethostname()}-"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Gives a folder that goes with the process: where that is killed, the next one that asks clears it away."""
    clear_left_behind()
    # Under a name that none clears away before it is locked; the lock goes with the process, however that ends.
    made = Path(tempfile.mkdtemp(prefix=".segtrain-"))
    lock = os.open(made, os.O_RDONLY)
    with contextlib.suppress(OSError):  # not every file system has locks: there, nothing is cleared away
        fcntl.flock(lock, fcntl.LOCK_EX)
    folder = made.rename(made.with_name(made.name.replace(".segtrain-", PREFIX)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear_left_behind() -> None:
    """Removes the folders of processes that are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
