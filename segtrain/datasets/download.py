"""Fetches one big file: resumed where it broke off, checked, from the first address that has it."""

import hashlib
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from segtrain.datasets.data_folder import only_process

# Seconds. Who does not answer soon is not going to, and there are other addresses; one who is sending may pause.
CONNECT_TIMEOUT = 4
READ_TIMEOUT = 30
PIECE = 1 << 16  # bytes; what a broken connection costs at most


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Attributes:
        name: its file name.
        addresses: where it is, the official address first.
        size: bytes.
        sha256: in hexadecimal.
    """

    name: str
    addresses: Sequence[str]
    size: int
    sha256: str


class _NotGivenError(Exception):
    """Why an address did not give the file."""


def downloaded(file: RemoteFile, folder: Path, option: str) -> Path:
    """Returns the path of the file in `folder`, and downloads it unless it is there.

    Bytes go to `<name>.part`, where the next attempt goes on, in this process or another. It gets its final name when
    size and SHA-256 are right. Of parallel processes one downloads and the others wait.

    Args:
        file: what to download.
        folder: where to; made when it is missing.
        option: what a user types to name the file instead, such as `dataset.archive`.

    Raises:
        OSError: no address gave the right content, the disk has no room for it, or another file has its name there.
    """
    path = folder / file.name
    if not path.exists():
        with only_process(file.name):
            if not path.exists():  # the process that was waited for may have brought it
                folder.mkdir(parents=True, exist_ok=True)
                _download(file, path, option)
    elif not _is_right(file, path):
        raise OSError(
            f"{path} is another file than the published one ({file.size:,} bytes, sha256 {file.sha256}). Take it away, "
            f"so that it is downloaded, or type {option}={path} to use it as it is."
        )
    return path


def _download(file: RemoteFile, path: Path, option: str) -> None:
    part = path.with_name(f"{path.name}.part")
    _require_room(file, part, option)
    refusals = []
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=file.size)
        for address in file.addresses:
            host = urlsplit(address).netloc
            progress.update(bar, description=host)
            if not console.is_terminal:
                print(f"segtrain: downloading {file.name} ({decimal(file.size)}) from {host}", file=sys.stderr)
            try:
                _fetch(address, file, part, tell=lambda size: progress.update(bar, completed=size))
            except _NotGivenError as reason:
                refusals.append(f"{address} ({reason})")
            else:
                part.replace(path)
                return
    raise OSError(
        f"{file.name} could not be downloaded from {', '.join(refusals)}. Fetch it where these can be reached "
        f"({file.size:,} bytes, sha256 {file.sha256}) and type {option}=PATH/{file.name}."
    )


def _require_room(file: RemoteFile, part: Path, option: str) -> None:
    missing = file.size - _size(part)
    free = shutil.disk_usage(part.parent).free
    if free < missing:
        raise OSError(
            f"{part.parent} has room for {decimal(free)}, and {file.name} needs {decimal(missing)} more. Make "
            f"room, type SEGTRAIN_DATA=/another/folder in front of the command, or {option}=PATH where it is already."
        )


def _fetch(address: str, file: RemoteFile, part: Path, tell: Callable[[int], None]) -> None:
    """Completes `part` from an address.

    Raises:
        _NotGivenError: the address does not give the file. What it did give stays in `part`, unless it is wrong.
    """
    began_with = _size(part)
    _receive(address, file, part, tell)
    if _is_right(file, part):
        return
    part.unlink()
    if began_with:  # perhaps what was there before is wrong, and not what this address has sent
        _receive(address, file, part, tell)
        if _is_right(file, part):
            return
        part.unlink()
    raise _NotGivenError("its content is another: the checksum differs")


def _receive(address: str, file: RemoteFile, part: Path, tell: Callable[[int], None]) -> None:
    """Asks for the bytes that `part` lacks, again after each break, as long as that brings it further than before."""
    if _size(part) > file.size:
        part.unlink()
    furthest = _size(part)
    while _size(part) < file.size:
        try:
            _receive_once(address, file, part, tell)
            reason = "it ended too early"
        except requests.RequestException as error:
            reason = _worded(error)
        # A server that cannot resume starts from the beginning each time, so more bytes alone are no progress.
        if _size(part) <= furthest:
            raise _NotGivenError(reason)
        furthest = _size(part)


def _receive_once(address: str, file: RemoteFile, part: Path, tell: Callable[[int], None]) -> None:
    there = _size(part)
    # Nothing may be compressed on the way: sizes and places are those of the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    with requests.get(address, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)) as response:
        if not response.ok:
            raise _NotGivenError(f"it answers {response.status_code} {response.reason}")
        resumes = response.status_code == requests.codes.partial_content
        if not resumes:
            there = 0
        _require_same_size(response, there, file)
        with part.open("ab" if resumes else "wb") as output:
            for piece in response.iter_content(PIECE):
                there += len(piece)
                if there > file.size:
                    break
                output.write(piece)
                tell(there)


def _require_same_size(response: requests.Response, offset: int, file: RemoteFile) -> None:
    """Refuses another file, such as a page that says the file has moved, before 2 GB of it are fetched."""
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and offset + int(length) != file.size:
        raise _NotGivenError(f"it has {offset + int(length):,} bytes where {file.size:,} are expected")


def _is_right(file: RemoteFile, path: Path) -> bool:
    if _size(path) != file.size:
        return False
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _worded(error: requests.RequestException) -> str:
    match error:
        case requests.exceptions.ConnectTimeout():
            return f"no answer in {CONNECT_TIMEOUT} s"
        case requests.exceptions.Timeout():
            return f"nothing came for {READ_TIMEOUT} s"
        case requests.exceptions.ProxyError():
            return "the proxy refuses it"
        case requests.exceptions.SSLError():
            return "its certificate is not trusted"
        case requests.exceptions.ChunkedEncodingError():
            return "the connection broke off"
    return "no connection"
