"""The files of VOC2012 by name, the same whether they are in a folder or in a tar archive."""

import functools
import hashlib
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

# A change inside a big archive shows in its time of change and, most likely, in one of this many samples.
SAMPLES = 64
SAMPLE_BYTES = 1 << 16


class DataFiles(Protocol):
    """Files that are told by a name with `/` between folders."""

    def __contains__(self, name: str) -> bool: ...

    def read(self, name: str) -> bytes:
        """Returns the content.

        Raises:
            ValueError: it cannot be read; names the file.
        """

    def place(self, name: str) -> str:
        """Returns where the file is, for messages."""

    def fingerprint(self, names: Iterable[str]) -> str:
        """Returns digits that change with those files, or the files in those folders, without reading all of them."""


class FolderFiles:
    """Files below a folder. Implements `DataFiles`."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __contains__(self, name: str) -> bool:
        return (self._folder / name).is_file()

    def read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise ValueError(f"{self.place(name)} cannot be read ({error.strerror}).") from error

    def place(self, name: str) -> str:
        return str(self._folder / name)

    def fingerprint(self, names: Iterable[str]) -> str:
        digest = hashlib.sha256()
        for name in names:
            path = self._folder / name
            for file in sorted(os.scandir(path), key=lambda entry: entry.name) if path.is_dir() else [path]:
                if file.is_file():
                    status = file.stat()
                    digest.update(os.fsencode(f"{name} {file.name} {status.st_size} {status.st_mtime_ns}\n"))
        return digest.hexdigest()


class TarFiles:
    """Files in a tar archive below one of its folders; they are read where they are and never unpacked.

    Links and whatever else a tar can hold are passed over. Implements `DataFiles`.

    Args:
        archive: the archive, not compressed.
        folder: the folder in it, such as `VOCdevkit/VOC2012`.
    """

    def __init__(self, archive: Path, folder: str):
        self._archive = archive
        self._folder = folder

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        if name not in self:
            raise ValueError(f"{self.place(name)} cannot be read (No such file).")
        offset, size = self._members[name]
        with self._archive.open("rb") as content:
            content.seek(offset)
            return content.read(size)

    def place(self, name: str) -> str:
        return f"{self._archive}: {self._folder}/{name}"

    def fingerprint(self, names: Iterable[str]) -> str:
        # Finding the files takes seconds and the archive is published as a whole, so the whole counts.
        status = self._archive.stat()
        digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode())
        with self._archive.open("rb") as content:
            for number in range(SAMPLES):
                content.seek(max(status.st_size - SAMPLE_BYTES, 0) * number // (SAMPLES - 1))
                digest.update(content.read(SAMPLE_BYTES))
        return digest.hexdigest()

    @functools.cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """Where each file's content begins in the archive, and its size. Found once: it takes seconds for 2 GB."""
        beginning = f"{self._folder}/"
        try:
            with tarfile.open(self._archive, mode="r:") as tar:
                members = ((tarinfo.name.removeprefix("./"), tarinfo) for tarinfo in tar)
                return {
                    name.removeprefix(beginning): (tarinfo.offset_data, tarinfo.size)
                    for name, tarinfo in members
                    if name.startswith(beginning) and tarinfo.isreg() and not tarinfo.issparse()
                }
        except tarfile.TarError as error:
            raise ValueError(
                f"{self._archive} ({self._archive.stat().st_size:,} bytes) is damaged, cut off or no plain tar archive "
                f"({error}). Download or copy it again; a compressed one has to be unpacked first."
            ) from error
