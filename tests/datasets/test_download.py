import gzip
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from segtrain.datasets import download
from segtrain.datasets.download import PIECE, RemoteFile, downloaded

CONTENT = np.random.default_rng(0).bytes(3_000_017)  # some pieces, and a rest
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CHECKSUM = f"sha256:{SHA256}"


@dataclass
class Mirror:
    """A server of one file, and how it misbehaves.

    Attributes:
        content: what it sends.
        has_range: whether it can begin in the middle.
        cut_after: it closes the connection after so many bytes of an answer.
        says_length: whether an answer says how long it is.
        compresses: whether it compresses what it sends to those who take that.
        status: what it answers in place of the file.
        stalls_after: it sends so many bytes of an answer and then nothing, until the test's end.
        asked: the Range header of each request, in order.
    """

    content: bytes = CONTENT
    has_range: bool = True
    cut_after: int | None = None
    says_length: bool = True
    compresses: bool = False
    status: int | None = None
    stalls_after: int | None = None
    address: str = ""
    asked: list = field(default_factory=list)


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Starts servers on this machine; the data folder, where the lock is, is the test's own."""
    monkeypatch.setenv("SEGTRAIN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers, is_over = [], threading.Event()

    def start(mirror: Mirror) -> Mirror:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802 (the library's name)
                asked = self.headers.get("Range")
                mirror.asked.append(asked)
                if mirror.status:
                    self.send_error(mirror.status)
                    return
                begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and mirror.has_range else 0
                if asked and begin == len(mirror.content):
                    self.send_error(416)
                    return
                body = mirror.content[begin:]
                self.send_response(206 if begin else 200)
                if mirror.compresses and "gzip" in self.headers.get("Accept-Encoding", ""):
                    body = gzip.compress(body)
                    self.send_header("Content-Encoding", "gzip")
                if mirror.says_length:
                    self.send_header("Content-Length", str(len(body)))
                if begin:
                    last = len(mirror.content) - 1
                    self.send_header("Content-Range", f"bytes {begin}-{last}/{len(mirror.content)}")
                self.end_headers()
                self.wfile.write(body[: mirror.cut_after or mirror.stalls_after])
                if mirror.stalls_after:
                    self.wfile.flush()
                    is_over.wait()

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        mirror.address = f"http://127.0.0.1:{server.server_port}/file.tar"
        return mirror

    yield start
    is_over.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def nobody():
    """An address that nobody listens at."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_port
    return f"http://127.0.0.1:{port}/file.tar"


def fetch(folder, *addresses, size: int | None = len(CONTENT), checksum: str = CHECKSUM):
    remote = RemoteFile("file.tar", addresses, size, checksum)
    return downloaded(remote, folder / "downloads", option="dataset.archive")


def part_of(folder):
    (folder / "downloads").mkdir(exist_ok=True)
    return folder / "downloads" / "file.tar.part"


def require_whole(folder):
    assert {path.name for path in (folder / "downloads").iterdir()} == {"file.tar"}
    assert (folder / "downloads" / "file.tar").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", [{}, {"says_length": False}, {"compresses": True}], ids=str)
def test_a_file_is_downloaded_once(tmp_path, serve, kind):
    mirror = serve(Mirror(**kind))
    assert fetch(tmp_path, mirror.address) == fetch(tmp_path, mirror.address) == tmp_path / "downloads" / "file.tar"
    require_whole(tmp_path)
    assert mirror.asked == [None]


@pytest.mark.parametrize("other", [b"x", bytes(len(CONTENT))], ids=len)
def test_another_file_of_that_name_is_told_and_left(tmp_path, serve, other):
    path = part_of(tmp_path).with_suffix("")
    path.write_bytes(other)
    with pytest.raises(OSError, match=r"file\.tar is another file than the published one.*Take it away"):
        fetch(tmp_path, serve(Mirror()).address)
    assert path.read_bytes() == other


def test_what_an_earlier_process_left_is_gone_on_with(tmp_path, serve):
    mirror = serve(Mirror())
    part_of(tmp_path).write_bytes(CONTENT[:1_000_000])
    fetch(tmp_path, mirror.address)
    require_whole(tmp_path)
    assert mirror.asked == ["bytes=1000000-"]


def test_a_part_that_is_whole_needs_no_server(tmp_path, serve, nobody):
    part_of(tmp_path).write_bytes(CONTENT)
    fetch(tmp_path, nobody)
    require_whole(tmp_path)


def test_a_connection_that_is_cut_is_resumed(tmp_path, serve):
    mirror = serve(Mirror(cut_after=1_200_000))
    fetch(tmp_path, mirror.address)
    require_whole(tmp_path)
    begins = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in mirror.asked[1:]]
    assert mirror.asked[0] is None
    assert begins == sorted(set(begins))
    assert len(CONTENT) > begins[0] > 1_200_000 - PIECE


@pytest.mark.parametrize("there", [b"", CONTENT[:1_000_000]], ids=len)
def test_a_server_that_cannot_resume_starts_again(tmp_path, serve, there):
    mirror = serve(Mirror(has_range=False))
    part_of(tmp_path).write_bytes(there)
    fetch(tmp_path, mirror.address)
    require_whole(tmp_path)


def test_a_server_that_is_cut_and_cannot_resume_is_left(tmp_path, serve):
    cut, mirror = serve(Mirror(has_range=False, cut_after=1_200_000)), serve(Mirror())
    fetch(tmp_path, cut.address, mirror.address)
    require_whole(tmp_path)
    assert len(cut.asked) == 2
    assert [asked is not None for asked in mirror.asked] == [True]


@pytest.mark.parametrize(
    "wrong",
    [
        Mirror(content=bytes(len(CONTENT))),
        Mirror(content=b"<html>It has moved.</html>"),
        Mirror(content=CONTENT * 2, says_length=False),
        Mirror(content=CONTENT[:-1]),
        Mirror(content=b""),
        Mirror(status=404),
        Mirror(status=503),
    ],
    ids=["bytes", "page", "endless", "short", "empty", "404", "503"],
)
@pytest.mark.parametrize("there", [0, 1_000_000])
def test_the_next_mirror_is_asked(tmp_path, serve, nobody, wrong, there):
    part_of(tmp_path).write_bytes(CONTENT[:there])
    first, second = serve(replace(wrong, asked=[])), serve(Mirror())
    fetch(tmp_path, nobody, first.address, second.address)
    require_whole(tmp_path)
    assert first.asked
    assert second.asked


@pytest.mark.parametrize("damaged", [bytes(1_000_000), bytes(len(CONTENT)), CONTENT + b"x"], ids=len)
def test_a_damaged_part_is_thrown_away(tmp_path, serve, damaged):
    mirror = serve(Mirror())
    part_of(tmp_path).write_bytes(damaged)
    fetch(tmp_path, mirror.address)
    require_whole(tmp_path)
    assert mirror.asked[-1] is None


def test_one_message_says_what_to_type_where_nothing_answers(tmp_path, serve, nobody):
    wrong, gone = serve(Mirror(content=bytes(len(CONTENT)))), serve(Mirror(status=404))
    page = serve(Mirror(content=b"<html>It has moved.</html>"))
    with pytest.raises(OSError, match=r"file\.tar could not be downloaded") as error:
        fetch(tmp_path, nobody, wrong.address, gone.address, page.address)
    told = str(error.value)
    assert f"{nobody} (no connection)" in told
    assert f"{wrong.address} (its content is another: the checksum differs)" in told
    assert f"{gone.address} (it answers 404 Not Found)" in told
    assert f"{page.address} (it has 26 bytes where 3,000,017 are expected)" in told
    assert "(3,000,017 bytes, sha256" in told
    assert SHA256 in told
    assert "dataset.archive=PATH/file.tar" in told
    assert list((tmp_path / "downloads").iterdir()) == []


def test_what_came_stays_for_the_next_attempt(tmp_path, serve):
    mirror = serve(Mirror(has_range=False, cut_after=1_200_000))
    with pytest.raises(OSError, match="the connection broke off"):
        fetch(tmp_path, mirror.address)
    left = part_of(tmp_path).read_bytes()
    assert left == CONTENT[: len(left)]
    assert len(left) > 1_200_000 - PIECE


def test_a_full_disk_is_told_before(tmp_path, serve, monkeypatch):
    # No disk can be filled up here: the system's answer is the one thing that is made up.
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, len(CONTENT) - 1))
    mirror = serve(Mirror())
    with pytest.raises(OSError, match=r"SEGTRAIN_DATA=.* or dataset\.archive=PATH"):
        fetch(tmp_path, mirror.address)
    assert mirror.asked == []
    part_of(tmp_path).write_bytes(CONTENT[:1])  # of which there is a byte already
    fetch(tmp_path, mirror.address)


def test_a_pause_in_the_middle_is_told_as_one(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(download, "READ_TIMEOUT", 0.2)
    mirror = serve(Mirror(stalls_after=1_000_000, has_range=False))
    with pytest.raises(OSError, match=rf"{mirror.address} \(nothing came for 0.2 s\)"):
        fetch(tmp_path, mirror.address)


def test_a_disk_that_fills_up_meanwhile_is_told(tmp_path, serve):
    part_of(tmp_path).symlink_to("/dev/full")  # a device that has no room
    with pytest.raises(
        OSError, match=r"file\.tar\.part cannot be written \(No space left on device\) .*SEGTRAIN_DATA="
    ):
        fetch(tmp_path, serve(Mirror()).address)


@pytest.mark.parametrize("there", [b"", CONTENT[:1_000_000], CONTENT, bytes(1_000_000), CONTENT + b"x"], ids=len)
@pytest.mark.parametrize("kind", [{}, {"says_length": False}, {"has_range": False}, {"cut_after": 1_200_000}], ids=str)
def test_a_file_of_unknown_size_is_known_by_its_checksum(tmp_path, serve, kind, there):
    part_of(tmp_path).write_bytes(there)
    fetch(tmp_path, serve(Mirror(**kind)).address, size=None, checksum=f"sha1:{hashlib.sha1(CONTENT).hexdigest()}")
    require_whole(tmp_path)


@pytest.mark.parametrize(
    "wrong", [Mirror(content=b"<html>"), Mirror(content=b""), Mirror(status=503)], ids=["page", "empty", "503"]
)
def test_another_file_of_unknown_size_is_not_kept(tmp_path, serve, wrong):
    with pytest.raises(OSError, match=rf"could not be downloaded .*\(sha256 {SHA256}\) and type dataset\.archive="):
        fetch(tmp_path, serve(replace(wrong, asked=[])).address, size=None)
    assert list((tmp_path / "downloads").iterdir()) == []


def test_parallel_processes_download_once(tmp_path, serve):
    mirror = serve(Mirror())
    program = (
        "import sys; from pathlib import Path; from segtrain.datasets.download import RemoteFile, downloaded; "
        "downloaded(RemoteFile('file.tar', sys.argv[1:2], int(sys.argv[2]), sys.argv[3]), Path(sys.argv[4]), 'x')"
    )
    command = [sys.executable, "-c", program, mirror.address, str(len(CONTENT)), CHECKSUM, str(tmp_path / "downloads")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    require_whole(tmp_path)
    assert mirror.asked == [None]
