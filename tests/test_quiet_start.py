import os
import subprocess
import sys
from pathlib import Path

import pytest

from segtrain.quiet_start import native_messages_to

SCRIPT = """
import os, sys
from pathlib import Path
from segtrain.quiet_start import native_messages_to
sys.stderr.write("python before, ")  # no newline: may still wait in a buffer
with native_messages_to(Path(sys.argv[1])):
    os.write(2, b"native, ")
    print("python, ", end="", file=sys.stderr)
    os.system("echo child >&2")
    print("to standard output")
print("python after", file=sys.stderr)
"""


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_what_native_code_writes_goes_to_the_log_alone(tmp_path, capfd):
    log = tmp_path / "übung log.txt"
    log.write_text("there already, ", encoding="utf-8")
    os.write(2, b"before, ")
    with native_messages_to(log):
        os.write(2, b"inside")
        os.write(1, b"output")
    os.write(2, b"after")
    assert capfd.readouterr() == ("output", "before, after")
    assert log.read_text(encoding="utf-8") == "there already, inside"


def test_in_a_process_of_its_own(tmp_path):
    log = tmp_path / "log"
    finished = subprocess.run([sys.executable, "-c", SCRIPT, log], capture_output=True, text=True, check=True)
    assert finished.stdout == "to standard output\n"
    assert finished.stderr == "python before, python after\n"
    assert log.read_text() == "native, python, child\n"


def test_a_process_that_leaves_tells_it_on_the_terminal(tmp_path):
    script = """
import sys
from pathlib import Path
from segtrain.quiet_start import native_messages_to
from segtrain.training.signals import leave
with native_messages_to(Path(sys.argv[1])), native_messages_to(Path(sys.argv[2])):
    leave(3, "told")
"""
    logs = [tmp_path / "log", tmp_path / "inner log"]
    finished = subprocess.run([sys.executable, "-c", script, *logs], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (3, "told")
    assert [log.read_text() for log in logs] == ["", ""]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_passes_and_the_terminal_comes_back(tmp_path, capfd, error):
    def fail():
        with native_messages_to(tmp_path / "log"):
            os.write(2, b"inside")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        fail()
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


@pytest.mark.parametrize("log", ["log", "no/such/folder/log"])
def test_no_descriptor_is_left_open(tmp_path, log):
    def start():
        try:
            with native_messages_to(Path(tmp_path / log)):
                pass
        except FileNotFoundError:
            return False
        return True

    started = start()
    before = open_descriptors()
    assert start() == started == (log == "log")
    assert open_descriptors() == before
