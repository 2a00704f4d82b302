"""Keeps decoded samples, so that no file is decoded twice."""

import os
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

Sample = tuple[np.ndarray, np.ndarray]

# The share of free memory that the decoded pixels of one split may take when the choice is "auto". There are two, and
# the network needs the rest.
SHARE_OF_FREE_MEMORY = 0.3


class MemoryCache:
    """Samples in memory."""

    def __init__(self, count: int):
        self._samples: list[Sample | None] = [None] * count

    def get(self, index: int) -> Sample | None:
        return self._samples[index]

    def put(self, index: int, sample: Sample) -> None:
        self._samples[index] = sample


class DiskCache:
    """Samples as raw bytes in one temporary file, which is gone when the process is.

    The file has no name once it is open, so nothing is left behind and nothing half-written is ever read again.
    """

    def __init__(self, count: int):
        self._file = tempfile.TemporaryFile(prefix="segtrain-cache-")  # noqa: SIM115  (open as long as the cache)
        self._lock = threading.Lock()
        self._end = 0
        self._places: list[tuple[int, tuple[int, ...]] | None] = [None] * count

    def get(self, index: int) -> Sample | None:
        place = self._places[index]
        if place is None:
            return None
        offset, shape = place
        height, width, channels = shape
        pixels = os.pread(self._file.fileno(), height * width * (channels + 1), offset)
        values = np.frombuffer(pixels, np.uint8)
        return values[: -height * width].reshape(shape), values[-height * width :].reshape(height, width)

    def put(self, index: int, sample: Sample) -> None:
        image, labels = sample
        with self._lock:
            offset, self._end = self._end, self._end + image.size + labels.size
        pixels = image.tobytes() + labels.tobytes()
        try:
            written = os.pwrite(self._file.fileno(), pixels, offset)
        except OSError as error:
            raise self._full(len(pixels)) from error
        if written < len(pixels):
            raise self._full(len(pixels))
        self._places[index] = (offset, image.shape)

    def _full(self, needed: int) -> OSError:
        return OSError(
            f"The disk of {tempfile.gettempdir()} is full: the cache of decoded images needs {needed} bytes more. "
            "Free some, set TMPDIR to another disk, or type dataset.cache=none."
        )


class NoCache:
    """Keeps nothing: every epoch decodes every file."""

    def get(self, index: int) -> None:
        return None

    def put(self, index: int, sample: Sample) -> None:
        pass


def open_cache(choice: str, count: int, bytes_per_sample: int) -> MemoryCache | DiskCache | NoCache:
    """Returns the cache that `choice` names; `auto` is memory where `count` samples fit, else disk."""
    if choice == "auto":
        choice = (
            "memory" if count * bytes_per_sample < SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available else "disk"
        )
    kinds: dict[str, Callable[[int], Any]] = {"memory": MemoryCache, "disk": DiskCache}
    return kinds[choice](count) if choice in kinds else NoCache()
