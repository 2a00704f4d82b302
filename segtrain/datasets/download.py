"""Fetches one big file: resumed where it broke off, checked, from the first address that has it."""

import contextlib
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from segtrain.datasets.data_folder import ELSEWHERE, only_process

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
        size: bytes; None where it is not published.
        checksum: `algorithm:digits`, such as `sha256:` and 64 hexadecimal digits.
    """

    name: str
    addresses: Sequence[str]
    size: int | None
    checksum: str

    def __str__(self) -> str:
        size = "" if self.size is None else f"{self.size:,} bytes, "
        return f"{size}{self.checksum.replace(':', ' ')}"


class _NotGivenError(Exception):
    """Why an address did not give the file."""


def downloaded(file: RemoteFile, folder: Path, option: str) -> Path:
    """Returns the path of the file in `folder`, and downloads it unless it is there.

    Bytes go to `<name>.part`, where the next attempt goes on, in this process or another. It gets its final name when
    size and checksum are right. Of parallel processes one downloads and the others wait.

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
    elif not has_right_content(file, path):
        raise OSError(
            f"{path} is another file than the published one ({file}). Take it away, "
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
                size = "" if file.size is None else f" ({decimal(file.size)})"
                print(f"segtrain: downloading {file.name}{size} from {host}", file=sys.stderr)
            try:
                _fetch(address, file, part, tell=lambda size: progress.update(bar, completed=size))
            except _NotGivenError as reason:
                refusals.append(f"{address} ({reason})")
            else:
                part.replace(path)
                return
    raise OSError(
        f"{file.name} could not be downloaded from {', '.join(refusals)}. Fetch it where these can be reached "
        f"({file}) and type {option}=PATH/{file.name}."
    )


def _require_room(file: RemoteFile, part: Path, option: str) -> None:
    missing = 0 if file.size is None else file.size - _size(part)
    free = shutil.disk_usage(part.parent).free
    if free < missing:
        raise OSError(
            f"{part.parent} has room for {decimal(free)}, and {file.name} needs {decimal(missing)} more. Make "
            f"room, {ELSEWHERE}, or {option}=PATH where it is already."
        )


def _fetch(address: str, file: RemoteFile, part: Path, tell: Callable[[int], None]) -> None:
    """Completes `part` from an address.

    Raises:
        _NotGivenError: the address does not give the file. What it did give stays in `part`, unless it is wrong.
    """
    began_with = _size(part)
    _receive(address, file, part, tell)
    if has_right_content(file, part):
        return
    part.unlink()
    if began_with:  # perhaps what was there before is wrong, and not what this address has sent
        _receive(address, file, part, tell)
        if has_right_content(file, part):
            return
        part.unlink()
    raise _NotGivenError("its content is another: the checksum differs")


def _receive(address: str, file: RemoteFile, part: Path, tell: Callable[[int], None]) -> None:
    """Asks for the bytes that `part` lacks, again after each break, as long as that brings it further than before."""
    if file.size is not None and _size(part) > file.size:
        part.unlink()
    furthest, expected = _size(part), file.size
    while _size(part) != expected:
        try:
            expected = _receive_once(address, file, part, tell)
            reason = "it ended too early"
        except requests.RequestException as error:
            reason = _worded(error)
        # A server that cannot resume starts from the beginning each time, so more bytes alone are no progress.
        if _size(part) != expected and _size(part) <= furthest:
            raise _NotGivenError(reason)
        furthest = _size(part)


def _receive_once(address: str, file: RemoteFile, part: Path, tell: Callable[[int], None]) -> int:
    """Returns the size of the whole file, or where neither we nor the server know it, that of what has come."""
    there = _size(part)
    # Nothing may be compressed on the way: sizes and places are those of the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    with requests.get(address, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)) as response:
        if there and file.size is None and response.status_code == requests.codes.requested_range_not_satisfiable:
            return there  # all of it has come before
        if not response.ok:
            raise _NotGivenError(f"it answers {response.status_code} {response.reason}")
        resumes = response.status_code == requests.codes.partial_content
        if not resumes:
            there = 0
        expected = _expected_size(response, there, file)
        with _disk_told(part, file), part.open("ab" if resumes else "wb") as output:
            for piece in response.iter_content(PIECE):
                there += len(piece)
                if expected is not None and there > expected:
                    break
                output.write(piece)
                tell(there)
    return there if expected is None else expected


def _expected_size(response: requests.Response, offset: int, file: RemoteFile) -> int | None:
    """Refuses another file, such as a page that says the file has moved, before 2 GB of it are fetched."""
    length = response.headers.get("Content-Length", "")
    announced = offset + int(length) if length.isdigit() else None
    if None not in (announced, file.size) and announced != file.size:
        raise _NotGivenError(f"it has {announced:,} bytes where {file.size:,} are expected")
    return announced if file.size is None else file.size


@contextlib.contextmanager
def _disk_told(part: Path, file: RemoteFile) -> Iterator[None]:
    try:
        yield
    except requests.RequestException:  # an OSError too, of the network
        raise
    except OSError as error:
        raise OSError(
            f"{part} cannot be written ({error.strerror}) while {file.name} is downloaded. Make room, or {ELSEWHERE}."
        ) from error


def has_right_content(file: RemoteFile, path: Path) -> bool:
    """Returns whether there is a file at `path`, and it is the published one."""
    if not path.exists() or (file.size is not None and _size(path) != file.size):
        return False
    algorithm, _, digits = file.checksum.partition(":")
    with path.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest() == digits


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
        # A pause in the middle is told as a lost connection.
        case requests.exceptions.ConnectionError(args=[urllib3.exceptions.ReadTimeoutError(), *_]):
            return f"nothing came for {READ_TIMEOUT} s"
    return "no connection"
