import threading

import pytest

from segtrain.sweeps import one_gpu as module
from segtrain.sweeps.one_gpu import VISIBLE, one_gpu, visible_gpus


@pytest.fixture(autouse=True)
def _own_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(module, "SECONDS_BETWEEN_TRIES", 0.01)


def test_jobs_at_the_same_time_have_different_gpus():
    with one_gpu(["0", "3"]) as first, one_gpu(["0", "3"]) as second:
        assert sorted([first[VISIBLE], second[VISIBLE]]) == ["0", "3"]
    with one_gpu(["0", "3"]) as later:
        assert later == {VISIBLE: "0"}


def test_a_job_waits_for_a_gpu_that_is_free():
    begun, taken = threading.Event(), []

    def take():
        begun.set()
        with one_gpu(["0"]) as environment:
            taken.append(environment)

    with one_gpu(["0"]):
        thread = threading.Thread(target=take)
        thread.start()
        begun.wait()
        thread.join(0.2)
        assert taken == []
    thread.join()
    assert taken == [{VISIBLE: "0"}]


@pytest.mark.parametrize(
    ("told", "expected"), [("", []), ("-1", []), ("2", ["2"]), ("GPU-8f,GPU-2a", ["GPU-8f", "GPU-2a"])]
)
def test_the_gpus_are_those_that_this_process_sees(monkeypatch, told, expected):
    monkeypatch.setenv(VISIBLE, told)
    assert visible_gpus() == expected


def test_the_machines_own_tool_is_asked_where_nothing_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 0\necho 1\n")
    tool.chmod(0o755)
    assert visible_gpus() == ["0", "1"]


def test_without_a_gpu_nothing_is_said():
    with one_gpu([]) as environment:
        assert environment == {}
