import contextlib
import functools
import http.server
import json
import logging
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from segtrain.datasets import tfds_preparation
from segtrain.datasets.tfds_preparation import answers, prepared, prepared_by_name, quiet_tfds, tfds_folder

# A builder that notes in the folder `notes` that it generates, and goes on when there is a file `go` there.
PREPARES = """
import io, sys, time
from pathlib import Path
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from segtrain.datasets.tfds_preparation import prepared, tfds_folder

notes = Path(sys.argv[1])

class Waiting(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"number": np.int64}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        with (notes / "generated").open("a") as file:
            file.write("once\\n")
        for number in range(3):
            yield number, {"number": number}
            while number == 1 and not (notes / "go").exists():
                time.sleep(0.02)

builder = prepared(Waiting(data_dir=tfds_folder(), file_format="array_record"))
print("read", sorted(example["number"] for example in builder.as_data_source("train")))
"""


@pytest.fixture
def start(tmp_path, data):
    """Starts a process that prepares a dataset; ends what is left of them."""
    (tmp_path / "prepares.py").write_text(PREPARES, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(tfds_preparation.__file__).parents[2])}
    processes = []

    def start() -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "prepares.py", str(tmp_path)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_parallel_jobs_prepare_once(start, tmp_path):
    generated = tmp_path / "generated"
    first = start()
    wait_for(generated.exists, first)
    second = start()
    said = second.stderr.readline()
    assert said == "segtrain: another process prepares waiting; waiting for it.\n"
    (tmp_path / "go").touch()
    for process in (first, second):
        out, _ = process.communicate()
        assert (process.returncode, out) == (0, "read [0, 1, 2]\n")
    assert generated.read_text() == "once\n"


def test_a_killed_process_leaves_nothing_that_counts(start, data, tmp_path):
    killed = start()
    wait_for((tmp_path / "generated").exists, killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    left = [path.name for path in (data / "tensorflow_datasets" / "waiting").iterdir()]
    assert len(left) == 1
    assert left[0].startswith("incomplete.")
    (tmp_path / "go").touch()
    out, _ = (next_one := start()).communicate()
    assert (next_one.returncode, out) == (0, "read [0, 1, 2]\n")
    assert [path.name for path in (data / "tensorflow_datasets" / "waiting").iterdir()] == ["1.2.0"]


def test_preparing_says_so_in_one_line(start, data, tmp_path):
    (tmp_path / "go").touch()
    out, said = (process := start()).communicate()
    assert said == f"segtrain: preparing waiting/1.2.0 in {data}/tensorflow_datasets/waiting/1.2.0, once.\n"
    assert (process.returncode, out) == (0, "read [0, 1, 2]\n")
    again = start().communicate()
    assert again == ("read [0, 1, 2]\n", "")


def test_progress_is_drawn_on_a_terminal(data, tmp_path):
    (tmp_path / "prepares.py").write_text(PREPARES, encoding="utf-8")
    (tmp_path / "go").touch()
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    environment = os.environ | {"PYTHONPATH": str(Path(tfds_preparation.__file__).parents[2])}
    command = [sys.executable, "prepares.py", str(tmp_path)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        drawn = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
            while piece := os.read(ours, 1 << 16):
                drawn += piece
        os.close(ours)
        assert process.stdout.read() == b"read [0, 1, 2]\n"
    assert drawn.startswith(f"segtrain: preparing waiting/1.2.0 in {data}".encode())
    assert b"Generating" in drawn


@pytest.mark.usefixtures("no_network")
def test_without_a_network_the_files_are_named(data):
    with pytest.raises(ValueError, match="no answer from https://thor.robots.ox.ac.uk") as raised:
        prepared_by_name("oxford_iiit_pet:4.0.0", None)
    said = str(raised.value)
    registered = tfds.builder_cls("oxford_iiit_pet").url_infos
    assert len(registered) == 2
    for url, info in registered.items():
        assert f"  {info.filename}: {info.size:,} bytes, sha256 {info.checksum}, {url}" in said.splitlines()
    assert "dataset.manual_folder=FOLDER" in said
    assert list((data / "tensorflow_datasets" / "oxford_iiit_pet").glob("*")) == []


@pytest.mark.usefixtures("data", "no_network")
def test_a_file_with_two_addresses_is_named_once():
    with pytest.raises(ValueError, match="no answer from https://data.caltech.edu and https://drive.") as raised:
        prepared_by_name("caltech_birds2011", None)
    _, *files = str(raised.value).splitlines()
    assert sorted(line.split(":")[0] for line in files) == ["  CUB_200_2011.tgz", "  segmentations.tgz"]
    assert all(" or https://" in line for line in files)


@pytest.mark.usefixtures("data", "no_network")
def test_only_files_that_are_not_there_are_asked_for(tmp_path):
    (tmp_path / "annotations.tar.gz").touch()
    with pytest.raises(ValueError, match="images.tar.gz") as raised:
        prepared_by_name("oxford_iiit_pet:4.0.0", str(tmp_path))
    assert "annotations" not in str(raised.value)


@pytest.mark.usefixtures("data", "no_network")
def test_another_file_than_tfds_knows_is_refused(tmp_path):
    for name in ("images.tar.gz", "annotations.tar.gz"):
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"tar\.gz, has wrong checksum: .* Download the file again"):
        prepared_by_name("oxford_iiit_pet:4.0.0", str(tmp_path))


@pytest.mark.usefixtures("data")
def test_a_manual_folder_has_to_exist(tmp_path):
    with pytest.raises(ValueError, match=f"dataset.manual_folder={tmp_path}/nowhere: there is no such folder"):
        prepared_by_name("oxford_iiit_pet:4.0.0", str(tmp_path / "nowhere"))


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEGTRAIN_DATA", str(tmp_path / "file"))
    with pytest.raises(OSError, match="SEGTRAIN_DATA=/another/folder"):
        prepared(Broken(data_dir=tfds_folder(), file_format="array_record"))


class Downloads(tfds.core.GeneratorBasedBuilder):
    """Downloads from an address that is set on the class."""

    VERSION = tfds.core.Version("1.0.0")
    address: str

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"number": np.int64}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.download(self.address))}

    def _generate_examples(self, path):
        yield "one", {"number": int(Path(path).read_text())}


@pytest.fixture
def server(tmp_path):
    """A server of this machine that gives out what is in a folder."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.usefixtures("data")
def test_a_file_that_the_server_does_not_have_is_told(server, monkeypatch):
    monkeypatch.setattr(Downloads, "address", f"{server}/gone.txt", raising=False)
    with pytest.raises(ValueError, match=rf"^downloads/1.0.0 cannot be prepared: .*{server}/gone.txt. HTTP code: 404"):
        prepared(Downloads(data_dir=tfds_folder(), file_format="array_record"))
    assert answers(server)


def test_what_was_left_of_downloads_is_taken_away(server, data, tmp_path, monkeypatch):
    (tmp_path / "served" / "number.txt").write_text("7")
    monkeypatch.setattr(Downloads, "address", f"{server}/number.txt", raising=False)
    downloads = data / "tensorflow_datasets" / "downloads" / "downloads"
    for left in ("number.txt.tmp.0123", "unpacked"):
        (downloads / left).mkdir(parents=True)
        (downloads / left / "half").write_text("7777")
    builder = prepared(Downloads(data_dir=tfds_folder(), file_format="array_record"))
    assert [example["number"] for example in builder.as_data_source("train")] == [7]
    assert [path.name for path in downloads.iterdir() if path.is_dir()] == []


class Broken(tfds.core.GeneratorBasedBuilder):
    """Fails with an error that is set on the class."""

    VERSION = tfds.core.Version("1.0.0")
    error: Exception

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"number": np.int64}))

    def _split_generators(self, dl_manager):
        raise self.error

    def _generate_examples(self):
        yield from ()


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(28, "No space left on device"), OSError, "No space left on device. Where the disk is full"),
        (KeyError("mask"), ValueError, r"broken/1.0.0 cannot be prepared: KeyError: 'mask'"),
        (AssertionError("put it there"), ValueError, r"put it there .* dataset.manual_folder=FOLDER\.$"),
        (ValueError("own words"), ValueError, "^own words$"),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(monkeypatch, error, kind, words):
    monkeypatch.setattr(Broken, "error", error, raising=False)
    with pytest.raises(kind, match=words) as raised:
        prepared(Broken(data_dir=tfds_folder(), file_format="array_record"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["absl", "urllib3.connectionpool"])
def test_notices_are_kept_off_only_meanwhile(name):
    logger = logging.getLogger(name)
    assert logger.isEnabledFor(logging.WARNING)
    with quiet_tfds():
        assert not logger.isEnabledFor(logging.WARNING)
        assert logger.isEnabledFor(logging.ERROR)
    assert logger.isEnabledFor(logging.WARNING)


def test_the_folder_is_in_the_data_folder(monkeypatch):
    monkeypatch.setenv("SEGTRAIN_DATA", "~/elsewhere")
    assert tfds_folder() == str(Path.home() / "elsewhere" / "tensorflow_datasets")


@pytest.mark.usefixtures("data", "no_network")
def test_the_command_ends_without_a_traceback(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "segtrain", "dataset=oxford_iiit_pet", "hydra.run.dir=run"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(tfds_preparation.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("segtrain: error: oxford_iiit_pet/4.0.0 cannot be downloaded (no answer from https://")
    assert len(run.stderr.splitlines()) == 3  # and the two files
    assert json.loads((tmp_path / "run" / "results.json").read_text())["status"] == "failed"
