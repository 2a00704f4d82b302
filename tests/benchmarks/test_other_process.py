import subprocess
import sys

import psutil
import pytest

from segtrain.benchmarks.other_process import OtherProcess

COUNTS = """
from segtrain.benchmarks.other_process import answer_turns
count = 0
def turn():
    global count
    count += 1
    print("a library says something")
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
    fails = module("import sys; sys.exit('no such thing here')")
    told = pytest.raises(RuntimeError, match=r"a_contender fast ended with status 1.*log")
    with (tmp_path / "log").open("w") as log, told:
        OtherProcess(fails, "fast", log=log)
    assert "no such thing here" in (tmp_path / "log").read_text()


BENCHMARK = """
import sys, time
from segtrain.benchmarks.other_process import OtherProcess
contender = OtherProcess("a_contender", log=sys.stderr)
contender()
print(contender._process.pid, flush=True)
time.sleep(1e6)
"""


def test_a_contender_ends_with_the_benchmark_that_was_killed(module):
    """It stands still between its turns, and must not do so for ever; nor must a thread of its own keep it."""
    endless_thread = "import threading, time\nthreading.Thread(target=lambda: time.sleep(1e6)).start()\n"
    module(endless_thread + COUNTS)
    benchmark = subprocess.Popen([sys.executable, "-c", BENCHMARK], stdout=subprocess.PIPE, text=True)
    contender = psutil.Process(int(benchmark.stdout.readline()))
    assert contender.is_running()
    benchmark.kill()
    benchmark.communicate()
    gone, alive = psutil.wait_procs([contender], timeout=60)
    assert (gone, alive) == ([contender], [])
