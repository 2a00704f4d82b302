"""Where downloads and prepared datasets are kept, and who may write there."""

import contextlib
import contextvars
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock

# How long another process that prepares the same dataset is waited for before saying so.
SECONDS_BEFORE_SAYING_SO = 2.0
# What a message says where the data folder has no room or may not be written to.
ELSEWHERE = "type SEGTRAIN_DATA=/another/folder in front of the command"
_not_prepared_for = contextvars.ContextVar("not_prepared_for", default="")


def data_folder() -> Path:
    """Returns the folder that `SEGTRAIN_DATA` names, else `segtrain` in the user's cache; it need not exist yet."""
    named = os.environ.get("SEGTRAIN_DATA")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "segtrain"


@contextlib.contextmanager
def nothing_prepared(purpose: str) -> Iterator[None]:
    """Has data that would be downloaded or prepared refused meanwhile.

    Args:
        purpose: what is not worth gigabytes and hours.
    """
    former = _not_prepared_for.set(purpose)
    try:
        yield
    finally:
        _not_prepared_for.reset(former)


@contextlib.contextmanager
def only_process(name: str) -> Iterator[None]:
    """Lets one process in at a time, so that parallel jobs of a sweep prepare a dataset once.

    The lock is the system's: a process that is killed gives it up.

    Args:
        name: of what is prepared; processes with other names do not wait for each other.

    Raises:
        FileNotFoundError: nothing is to be prepared now; see `nothing_prepared`.
        OSError: the data folder cannot be written to.
    """
    if purpose := _not_prepared_for.get():
        raise FileNotFoundError(f"{name} is not in {data_folder()}, and is not downloaded or prepared for {purpose}")
    folder = data_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=SECONDS_BEFORE_SAYING_SO)
        except filelock.Timeout:
            print(f"segtrain: another process prepares {name}; waiting for it.", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise OSError(
            f"The data folder {data_folder()} cannot be written to ({error.strerror}). Make it so, or {ELSEWHERE}."
        ) from error
    try:
        yield
    finally:
        lock.release()
