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
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from segtrain.datasets import tfds_preparation
from segtrain.datasets.tfds import build_tfds
from segtrain.datasets.tfds_downloads import answers
from segtrain.datasets.tfds_preparation import prepared, prepared_by_name, quiet_tfds, storage, tfds_folder

# A builder that notes in the folder `notes` that it generates, and goes on when there is a file `go` there.
PREPARES = """
import io, sys, time
from pathlib import Path
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from segtrain.datasets.tfds_preparation import prepared, storage

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

builder = prepared(Waiting(**storage()))
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
    with pytest.raises(ValueError, match="no answer from https://data.caltech.edu") as raised:
        prepared_by_name("caltech_birds2011", None)
    _, *files = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in files] == ["  CUB_200_2011.tgz"]
    assert all(" or https://drive.google.com" in line for line in files)


# TFDS has registered six archives, 49 GB, for the configs of this dataset; its labels and left images are two.
SCENES = {"train": {"01_street_000000_000010": 1, "01_street_000000_000020": 2}, "test": {"02_road_000001_000010": 1}}


@pytest.fixture
def lost_and_found(tmp_path, know_archives) -> Path:
    """A folder with the two archives that one config is made of, in the published layout."""
    folder = tmp_path / "fetched"
    folder.mkdir()
    for archive, ending in (("leftImg8bit", "leftImg8bit"), ("gtCoarse", "gtCoarse_labelIds")):
        with zipfile.ZipFile(folder / f"{archive}.zip", "w") as files:
            for split, scenes in SCENES.items():
                for scene, label in scenes.items():
                    shape = (8, 12, 3) if archive == "leftImg8bit" else (8, 12)
                    with files.open(f"{archive}/{split}/{scene[:9]}/{scene}_{ending}.png", "w") as png:
                        Image.fromarray(np.full(shape, label, np.uint8)).save(png, "PNG")
    know_archives("lost_and_found", folder)
    return folder


@pytest.mark.usefixtures("data", "no_network")
def test_one_config_needs_its_own_archives_only(lost_and_found):
    arguments = {"name": "lost_and_found/semantic_segmentation", "manual_folder": str(lost_and_found)}
    keys = {"image_key": "image_left", "mask_key": "segmentation_label", "name_key": "image_id"}
    dataset = build_tfds(**arguments, **keys)
    read = {
        samples.name(index): np.unique(samples.read(index)[1]).tolist()
        for samples in dataset.splits.values()
        for index in range(len(samples))
    }
    assert read == {scene: [label] for scenes in SCENES.values() for scene, label in scenes.items()}


@pytest.mark.usefixtures("data", "no_network")
def test_what_one_config_lacks_is_named_and_nothing_else(lost_and_found, capfd):
    (lost_and_found / "gtCoarse.zip").unlink()
    with pytest.raises(ValueError, match="no answer from http://www.dhbw-stuttgart.de") as raised:
        prepared_by_name("lost_and_found/semantic_segmentation", str(lost_and_found))
    _, *files = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in files] == ["  gtCoarse.zip"]
    assert "B)" not in capfd.readouterr().err  # no size is announced of what is not downloaded


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
        prepared(Broken(**storage()))


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
    with pytest.raises(ValueError, match=rf"^downloads/1.0.0 cannot be downloaded .*{server}/gone.txt. HTTP code: 404"):
        prepared(Downloads(**storage()))
    assert answers(server)


@pytest.mark.usefixtures("data")
def test_what_goes_wrong_after_the_download_is_no_matter_of_the_network(server, tmp_path, monkeypatch, capfd):
    (tmp_path / "served" / "number.txt").write_text("seven")
    monkeypatch.setattr(Downloads, "address", f"{server}/number.txt", raising=False)
    with pytest.raises(ValueError, match="^downloads/1.0.0 cannot be prepared: ValueError: invalid literal"):
        prepared(Downloads(**storage()))
    assert f"segtrain: downloading number.txt of downloads/1.0.0 from {server}.\n" in capfd.readouterr().err


@pytest.mark.parametrize(("status", "is_there"), [(200, True), (404, True), (501, True), (502, False), (503, False)])
def test_a_proxys_word_that_nobody_answers_is_no_answer(monkeypatch, status, is_there):
    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):  # noqa: N802 (the library's name)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        assert answers("http://nowhere.invalid/file.zip") == is_there
        proxy.shutdown()


def test_what_was_left_of_downloads_is_taken_away(server, data, tmp_path, monkeypatch):
    (tmp_path / "served" / "number.txt").write_text("7")
    monkeypatch.setattr(Downloads, "address", f"{server}/number.txt", raising=False)
    downloads = data / "tensorflow_datasets" / "downloads" / "downloads"
    for left in ("number.txt.tmp.0123", "unpacked"):
        (downloads / left).mkdir(parents=True)
        (downloads / left / "half").write_text("7777")
    builder = prepared(Downloads(**storage()))
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
        (AssertionError("no rows"), ValueError, "^broken/1.0.0 cannot be prepared: AssertionError: no rows$"),
        (ValueError("own words"), ValueError, "^broken/1.0.0 cannot be prepared: ValueError: own words$"),
        (TypeError("own words"), ValueError, "^broken/1.0.0 cannot be prepared: TypeError: own words$"),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(monkeypatch, error, kind, words):
    monkeypatch.setattr(Broken, "error", error, raising=False)
    with pytest.raises(kind, match=words) as raised:
        prepared(Broken(**storage()))
    assert "\n" not in str(raised.value)


class ByHand(Broken):
    """Takes a file that TFDS does not download."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Ask the authors for rows.csv."

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.manual_dir / "rows.csv")}


@pytest.mark.usefixtures("data")
def test_a_file_to_be_fetched_by_hand_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    empty = tmp_path / "empty"
    for folder, received in ((None, ""), (empty, f" Received: dataset.manual_folder={empty}; .*")):
        with pytest.raises(
            ValueError,
            match=rf"^by_hand/1.0.0 needs files that TFDS does not download. Ask the authors for rows.csv. .* "
            rf"type dataset.manual_folder=FOLDER.{received}$",
        ):
            prepared(ByHand(**storage()), folder and str(folder))


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
    preparing, error, *files = run.stderr.splitlines()
    assert preparing.startswith("segtrain: preparing oxford_iiit_pet/4.0.0 in ")
    assert error.startswith("segtrain: error: oxford_iiit_pet/4.0.0 cannot be downloaded (no answer from https://")
    assert [line.split(":")[0] for line in files] == ["  images.tar.gz", "  annotations.tar.gz"]
    assert json.loads((tmp_path / "run" / "results.json").read_text())["status"] == "failed"
