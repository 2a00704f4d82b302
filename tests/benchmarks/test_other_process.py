import psutil
import pytest

from segtrain.benchmarks.other_process import OtherProcess

COUNTS = """
from segtrain.benchmarks.other_process import answer_turns
count = 0
def turn():
    global count
    count += 1
    return count / 2
answer_turns(turn)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that `python -m` finds; returns its name."""

    def write(text):
        (tmp_path / "a_contender.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return "a_contender"

    return write


def test_a_contender_answers_turn_by_turn(module, tmp_path):
    with (tmp_path / "log").open("w") as log:
        contender = OtherProcess(module(COUNTS), log=log)
        try:
            assert [contender() for _ in range(3)] == [0.5, 1.0, 1.5]
        finally:
            contender.close()
    assert not [each for each in psutil.Process().children() if "a_contender" in " ".join(each.cmdline())]


def test_a_contender_that_fails_is_named_with_its_log(module, tmp_path):
    with (tmp_path / "log").open("w") as log:
        contender = OtherProcess(module("import sys; sys.exit('no such thing here')"), "fast", log=log)
        with pytest.raises(RuntimeError, match=r"a_contender fast ended with status 1.*log"):
            contender()
        contender.close()
    assert "no such thing here" in (tmp_path / "log").read_text()


def test_a_contender_ends_with_its_input(module, tmp_path):
    """So nothing runs on where the benchmark was killed, whatever threads the contender has."""
    endless_thread = "import threading, time\nthreading.Thread(target=lambda: time.sleep(1e6)).start()\n"
    with (tmp_path / "log").open("w") as log:
        contender = OtherProcess(module(endless_thread + COUNTS), log=log)
        assert contender() == 0.5
        contender._process.stdin.close()
        assert contender._process.wait(timeout=60) == 0
