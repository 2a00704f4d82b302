"""Keeps decoded samples, so that no file is decoded twice."""

import abc
import gc
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from segtrain.machine import CGROUP, free_memory

Sample = tuple[np.ndarray, np.ndarray]
Decode = Callable[[int], Sample]

# The share of free memory that the decoded pixels of one split may take when the choice is "auto". There are two, and
# the network needs the rest.
SHARE_OF_FREE_MEMORY = 0.3
# Samples whose numbers differ by a multiple of this wait for each other's decoding: seldom, and a lock each costs more.
NUM_LOCKS = 1024
WHAT_TO_TYPE = "Type TMPDIR=/a/folder/on/a/larger/disk in front of the command, or dataset.cache=none behind it."


class SampleCache(abc.ABC):
    """Decodes a sample when it is first asked for and keeps it. Any thread may ask for any sample.

    Of the threads that ask for a sample at once, as the last batches of one epoch and the first of the next do, one
    decodes it and the others wait. A sample that is kept is returned without a lock.

    Attributes:
        kind: `memory`, `disk` or `none`, where the samples are kept.
    """

    kind: str

    def __init__(self):
        self._locks = [threading.Lock() for _ in range(NUM_LOCKS)]

    def get(self, index: int, decode: Decode) -> Sample:
        """Returns sample `index`, by `decode(index)` where it is not kept; what that raises is raised here.

        The arrays belong to the cache: they are not to be written to.
        """
        sample = self._find(index)
        if sample is not None:
            return sample
        with self._locks[index % NUM_LOCKS]:
            sample = self._find(index)
            if sample is None:
                sample = decode(index)
                self._keep(index, sample)
            return sample

    @abc.abstractmethod
    def _find(self, index: int) -> Sample | None:
        """Returns the sample if it is kept."""

    @abc.abstractmethod
    def _keep(self, index: int, sample: Sample) -> None:
        """Keeps a sample that is not kept yet."""


class MemoryCache(SampleCache):
    """Samples in memory."""

    kind = "memory"

    def __init__(self, count: int):
        super().__init__()
        self._samples: list[Sample | None] = [None] * count

    def _find(self, index):
        return self._samples[index]

    def _keep(self, index, sample):
        for part in sample:
            part.setflags(write=False)  # a transform that writes to its input fails here, as it does from the disk
        self._samples[index] = sample


class DiskCache(SampleCache):
    """Samples as raw bytes in one temporary file, which is gone when the process is, however it ends.

    The file has no name once it is open, so nothing is left behind and nothing half-written is ever read again.

    Args:
        count: number of samples.
        bytes_per_sample: what one takes, for knowing beforehand whether all of them fit.

    Raises:
        OSError: the folder cannot be written to, or the samples do not fit.
    """

    kind = "disk"

    # Those of this process: a file takes its space only as it is filled, so what is free may be promised already.
    _all_open: "weakref.WeakSet[DiskCache]" = weakref.WeakSet()

    def __init__(self, count: int, bytes_per_sample: int):
        super().__init__()
        self._folder = disk_cache_folder()
        self._expected_end, self._end = count * bytes_per_sample, 0
        self._end_lock = threading.Lock()
        self._file = _unnamed_file(self._folder)
        try:
            self._require_space()
        except OSError:
            self._file.close()
            raise
        self._shapes = np.zeros((count, 3), np.int32)
        self._offsets = np.full(count, -1, np.int64)  # -1: not kept yet
        DiskCache._all_open.add(self)

    def _require_space(self) -> None:
        free, promised = self._free_and_promised()
        if self._expected_end + promised > free:
            gc.collect()  # a sweep's earlier run may still hold its file: networks refer to themselves
            free, promised = self._free_and_promised()
        if self._expected_end + promised > free:
            of_others = f", where other splits need {_megabytes(promised)}" if promised else ""
            raise OSError(
                f"dataset.cache=disk: the decoded images need {_megabytes(self._expected_end)} in {self._folder}"
                f"{of_others}. Free are {_megabytes(free)}. {WHAT_TO_TYPE}"
            )

    def _free_and_promised(self) -> tuple[int, int]:
        others = [cache for cache in DiskCache._all_open if cache._folder == self._folder]
        promised = sum(max(0, cache._expected_end - cache._end) for cache in others)
        return shutil.disk_usage(self._folder).free, promised

    def _find(self, index):
        offset = int(self._offsets[index])
        if offset < 0:
            return None
        height, width, channels = shape = tuple(self._shapes[index].tolist())
        pixels = os.pread(self._file.fileno(), height * width * (channels + 1), offset)
        values = np.frombuffer(pixels, np.uint8)
        return values[: -height * width].reshape(shape), values[-height * width :].reshape(height, width)

    def _keep(self, index, sample):
        image, labels = sample
        with self._end_lock:
            offset, self._end = self._end, self._end + image.size + labels.size
        pixels = image.tobytes() + labels.tobytes()
        try:
            written = os.pwrite(self._file.fileno(), pixels, offset)
        except OSError as error:
            raise self._full(len(pixels)) from error
        if written < len(pixels):
            raise self._full(len(pixels))
        self._shapes[index] = image.shape
        self._offsets[index] = offset  # last: from here on other threads read it

    def _full(self, needed: int) -> OSError:
        return OSError(
            f"The disk of {self._folder} is full: the cache of decoded images needs {_megabytes(needed)} more. "
            f"{WHAT_TO_TYPE}"
        )


class NoCache:
    """Keeps nothing: every epoch decodes every file."""

    kind = "none"

    def get(self, index: int, decode: Decode) -> Sample:
        return decode(index)


def open_cache(
    choice: str, count: int, bytes_per_sample: int, cgroup: Path = CGROUP
) -> MemoryCache | DiskCache | NoCache:
    """Returns the cache that `choice` names; `auto` is memory where `count` samples fit, else disk where they fit.

    Raises:
        OSError: the choice is `disk`, and the samples do not fit there.
    """
    if choice == "auto":
        return _open_where_it_fits(count, bytes_per_sample, cgroup)
    if choice == "memory":
        return MemoryCache(count)
    if choice == "disk":
        return DiskCache(count, bytes_per_sample)
    return NoCache()


def _open_where_it_fits(count, bytes_per_sample, cgroup):
    if count * bytes_per_sample < SHARE_OF_FREE_MEMORY * free_memory(cgroup):
        return MemoryCache(count)
    try:
        return DiskCache(count, bytes_per_sample)
    except OSError:
        return NoCache()


def disk_cache_folder() -> Path:
    """Returns where the disk cache goes: `TMPDIR`, `TEMP` or `TMP` where one is set, else `/var/tmp`.

    `/tmp` comes last, since on many systems it is memory.
    """
    for variable in ("TMPDIR", "TEMP", "TMP"):
        if os.environ.get(variable):
            return Path(os.environ[variable])
    kept_on_disk = Path("/var/tmp")
    if kept_on_disk.is_dir() and os.access(kept_on_disk, os.W_OK | os.X_OK):
        return kept_on_disk
    return Path(tempfile.gettempdir())


def _unnamed_file(folder: Path) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="segtrain-cache-", dir=folder)
    except OSError as error:
        raise OSError(
            f"dataset.cache=disk needs a folder that can be written to. Received: {folder} ({error.strerror}). "
            f"{WHAT_TO_TYPE}"
        ) from error


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
