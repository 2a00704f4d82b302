"""Who the workers are, without TensorFlow."""

import json
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from segtrain.training import cluster as cluster_module
from segtrain.training.cluster import (
    SECONDS_BETWEEN_CALLS,
    Cluster,
    WorkerLostError,
    _listening,
    _take_calls,
    cluster_of,
    local_cluster,
    read_cluster,
    silent_workers,
    slurm_cluster,
    telling_of_lost_workers,
    wait_for_others,
)


def tf_config(tasks, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": tasks, "task": {"type": kind, "index": index}})}


WORKERS = {"worker": ["a:1", "b:2", "c:3"]}


@pytest.mark.parametrize(
    ("environment", "addresses", "index"),
    [
        (tf_config(WORKERS), ("a:1", "b:2", "c:3"), 0),
        (tf_config(WORKERS, index=2), ("a:1", "b:2", "c:3"), 2),
        (tf_config({"worker": ["a:1"], "chief": ["z:9"]}), ("z:9", "a:1"), 1),
        (tf_config({"worker": ["a:1"], "chief": ["z:9"]}, "chief"), ("z:9", "a:1"), 0),
        (tf_config({"worker": ["a:1", "[::1]:2"]}, index="1"), ("a:1", "[::1]:2"), 1),
    ],
)
def test_workers_are_numbered_from_the_chief(environment, addresses, index):
    assert read_cluster(environment) == Cluster(addresses, index)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "TF_CONFIG is not set. Type trainer.workers=2"),
        ({"TF_CONFIG": "{worker"}, "TF_CONFIG is not JSON"),
        ({"TF_CONFIG": "[]"}, "has to name a cluster and this process' task"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:2"]}}'}, "has to name a cluster and this process' task"),
        ({"TF_CONFIG": '{"task": {"type": "worker", "index": 0}}'}, "has to name a cluster and this process' task"),
        (tf_config({"worker": ["a", "b:2"]}), "the address of worker 0 has to be host:port"),
        (tf_config({"worker": ["a:1", "b:70000"]}), "port of 1 to 65535 and brackets around IPv6: host1:2222, [::1]"),
        (tf_config({"worker": ["a:1", "b:70000"]}), "the address of worker 1"),
        (tf_config({"worker": ["a:1", "b:0"]}), 'Received: "b:0".'),
        (tf_config({"worker": ["a:1", "::1:2"]}), 'Received: "::1:2".'),
        (tf_config({"worker": ["a:1", "grpc://b:2"]}), 'Received: "grpc://b:2".'),
        (tf_config({"worker": ["a:1"], "chief": [7]}), "the address of chief 0"),
        (tf_config({"worker": "a:1,b:2"}), 'the addresses of type worker have to be a list. Received: "a:1,b:2".'),
        (tf_config(WORKERS, index="one"), 'the index of a task is a whole number. Received: "one".'),
        (tf_config(WORKERS, index=None), "the index of a task is a whole number. Received: null."),
        (tf_config(WORKERS, index=3), "the task is worker 3, but the cluster has 3 of type worker"),
        (tf_config(WORKERS, index=-1), "the task is worker -1"),
        (tf_config(WORKERS, "chief"), "the task is chief 0, but the cluster has 3 of type worker"),
        (tf_config(WORKERS | {"ps": ["d:4"]}), "the tasks of a cluster are chief and worker. Received: ps."),
        (tf_config(WORKERS, "evaluator"), "the tasks of a cluster are chief and worker. Received: evaluator. Leave"),
        (tf_config({"worker": ["a:1"], "chief": ["b:2", "c:3"]}), "a cluster has one chief. Received: 2"),
        (tf_config({"worker": ["a:1"]}), "names one worker: a:1"),
        (
            tf_config({"chief": ["a:1"], "worker": ["b:2", "a:1"]}),
            "listens at an address of its own. Received twice: a:1",
        ),
    ],
)
def test_a_wrong_tf_config_is_told_in_a_line(environment, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_cluster(environment)
    assert "\n" not in str(error.value)


def test_other_strategies_have_no_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{broken")
    assert cluster_of({"strategy": "mirrored", "workers": 2}) is None
    assert cluster_of({}) is None


def test_workers_that_are_there_start_no_others(of_slurm, monkeypatch):
    both = {"strategy": "multiworker", "workers": 2}
    for name, value in of_slurm.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"trainer.workers=2: .* each of srun's 3 tasks would. Type .*workers=null"):
        cluster_of(both)
    monkeypatch.setenv("TF_CONFIG", tf_config(WORKERS, index=1)["TF_CONFIG"])
    with pytest.raises(ValueError, match=r"trainer.workers=2: .* TF_CONFIG names .*Type trainer.workers=null .*unset"):
        cluster_of(both)
    assert cluster_of(both | {"workers": None}) == Cluster(("a:1", "b:2", "c:3"), 1)


@pytest.fixture
def of_slurm(tmp_path, monkeypatch):
    """What Slurm tells the tasks of an `srun` over two nodes, by its own expansion of their names."""
    program = tmp_path / "scontrol"
    program.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[1-2]" ] && printf "n1\\nn2\\n"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return {
        "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_TASKS_PER_NODE": "2,1",
        "SLURM_JOB_ID": "40007", "SLURM_PROCID": "2", "SLURM_NODEID": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "addresses"),
    [
        ({}, ("n1:12021", "n1:12022", "n2:12023")),
        ({"SLURM_JOB_ID": "40008"}, ("n1:12024", "n1:12025", "n2:12026")),  # the next job, maybe on the same nodes
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, ("n1:12028", "n1:12029", "n2:12030", "n2:12031")),
        ({"SLURM_JOB_ID": "39993"}, ("n1:31979", "n1:31980", "n2:31981")),
    ],
)
def test_the_tasks_of_slurm_are_a_cluster(of_slurm, monkeypatch, changes, addresses):
    for name, value in (of_slurm | changes).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster_of({"strategy": "multiworker", "workers": None}) == Cluster(addresses, 2)
    monkeypatch.setenv("TF_CONFIG", "")  # as scripts export it
    assert cluster_of({"strategy": "multiworker", "workers": None}) == Cluster(addresses, 2)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")  # one task of srun, which starts the others
    assert cluster_of({"strategy": "multiworker", "workers": 2}).starts_others
    monkeypatch.setenv("TF_CONFIG", tf_config(WORKERS, index=1)["TF_CONFIG"])
    assert cluster_of({"strategy": "multiworker", "workers": None}).index == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SLURM_STEP_NODELIST": "elsewhere"}, "Slurm does not say where its tasks run"),
        ({"SLURM_PROCID": "first"}, "Slurm does not say where its tasks run"),
        ({"SLURM_NODEID": "0"}, r"Slurm's task 2 of 3 .*node 0 of n1, n2.*srun --distribution=block"),
        ({"SLURM_PROCID": "3"}, "Slurm's task 3 of 3"),
        ({"SLURM_STEP_TASKS_PER_NODE": "3"}, "srun --distribution=block"),
    ],
)
def test_what_slurm_does_not_tell_is_told_in_a_line(of_slurm, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        slurm_cluster(of_slurm | changes)
    assert "\n" not in str(error.value)


def test_without_slurm_it_does_not_say(of_slurm, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="Slurm does not say where its tasks run"):
        slurm_cluster(of_slurm)


def test_local_workers_have_ports_of_their_own_and_read_them_back(monkeypatch):
    monkeypatch.setattr(cluster_module, "usable_cores", lambda: 3)
    monkeypatch.setattr(cluster_module, "free_memory", lambda: 10**10)
    cluster = local_cluster(3)
    assert cluster.starts_others
    assert len(set(cluster.addresses)) == 3
    assert read_cluster({"TF_CONFIG": cluster.tf_config(2)}) == Cluster(cluster.addresses, 2)


@pytest.mark.parametrize(
    ("cores", "memory", "count", "advice"),
    [
        (4, 10**11, 5, "4 cores and 100.0 GB free. Type trainer.workers=4."),
        (8, 3 * 10**9, 4, "Type trainer.workers=3."),
        (8, 10**9, 2, "Type trainer.strategy=one."),
    ],
)
def test_more_workers_than_the_machine_has_room_for(monkeypatch, cores, memory, count, advice):
    monkeypatch.setattr(cluster_module, "usable_cores", lambda: cores)
    monkeypatch.setattr(cluster_module, "free_memory", lambda: memory)
    with pytest.raises(ValueError, match=f"trainer.workers={count}: .*{advice}"):
        local_cluster(count)


def test_a_port_that_is_taken_and_a_worker_that_is_not_there():
    with socket.socket() as taken, socket.socket() as closed:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens
        here, there = (f"127.0.0.1:{each.getsockname()[1]}" for each in (taken, closed))
        with pytest.raises(ValueError, match=rf"Port \d+ of worker 0 \({here}\) cannot be used"):
            wait_for_others(Cluster((here, there), 0), 0.1)
        assert silent_workers(Cluster(("127.0.0.1:1", here, there), 0)) == [f"worker 2 ({there})"]


def test_workers_wait_for_each_other_and_tell_who_does_not_come(monkeypatch, capsys):
    addresses = (*local_cluster(2).addresses, "127.0.0.1:1")
    both = [Cluster(addresses[:2], index) for index in range(2)]
    with ThreadPoolExecutor() as threads:
        first = threads.submit(wait_for_others, both[0], 20.0)
        assert not first.done()
        with _listening(both[1]):
            first.result()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(cluster_module, "SECONDS_OF_SILENCE", 0)
    with pytest.raises(ValueError, match=r"Waited 0.1 seconds for worker 1 \(.*\), worker 2 \(127.0.0.1:1\) in vain"):
        wait_for_others(Cluster(addresses, 0), 0.1)
    assert capsys.readouterr().out == f"waiting for worker 1 ({addresses[1]}), worker 2 (127.0.0.1:1)\n"


def test_a_name_without_an_address_is_told(capsys, monkeypatch):
    monkeypatch.setattr(cluster_module, "SECONDS_OF_SILENCE", 0)
    (here,) = local_cluster(2).addresses[:1]
    cluster = Cluster((here, "127.0.0.1:1", "nowhere.invalid:2"), 0)
    told = "worker 1 (127.0.0.1:1), worker 2 (nowhere.invalid:2){}; no address is known here of nowhere.invalid"
    with pytest.raises(ValueError, match=re.escape(told.format(" in vain"))):
        wait_for_others(cluster, 0.1)
    assert capsys.readouterr().out == f"waiting for {told.format('')}\n"


def test_calls_are_taken_so_that_others_are_answered():
    cluster = local_cluster(2)
    with _listening(cluster) as listener:
        host, port = cluster.addresses[0].split(":")
        with socket.create_connection((host, int(port)), timeout=20) as call:
            _take_calls(listener)
            assert call.recv(1) == b""  # it has been ended
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_one_that_comes_and_goes_ends_the_waiting_for_another(monkeypatch):
    monkeypatch.setattr(cluster_module, "SECONDS_AWAY", 0.5)
    cluster = Cluster((*local_cluster(2).addresses, "127.0.0.1:1"), 0)
    with ThreadPoolExecutor() as threads:
        with _listening(Cluster(cluster.addresses, 1)) as other:
            waiting = threads.submit(wait_for_others, cluster, 60.0)
            other.settimeout(20)
            other.accept()
            time.sleep(2 * SECONDS_BETWEEN_CALLS)
            assert not waiting.done()
        with pytest.raises(ConnectionAbortedError, match=re.escape(f"worker 1 ({cluster.addresses[1]})")):
            waiting.result(timeout=20)


def test_the_error_of_a_lost_worker_is_told_in_words():
    class UnavailableError(Exception):
        """As TensorFlow names it."""

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        there = f"127.0.0.1:{closed.getsockname()[1]}"
        cluster = Cluster(("127.0.0.1:1", there), 0)
        with (
            pytest.raises(WorkerLostError, match=rf"worker 1 \({there}\) does not answer any more. Type that."),
            telling_of_lost_workers(cluster, "Type that."),
        ):
            raise UnavailableError("Collective ops is aborted")

    class InternalError(Exception):
        """As TensorFlow names a fault of the others, and of this process."""

    with socket.create_server(("127.0.0.1", 0)) as there:
        all_there = Cluster(("127.0.0.1:1", f"127.0.0.1:{there.getsockname()[1]}"), 0)
        with pytest.raises(InternalError), telling_of_lost_workers(all_there, ""):
            raise InternalError
    with pytest.raises(WorkerLostError), telling_of_lost_workers(cluster, ""):
        raise InternalError
    with pytest.raises(UnavailableError), telling_of_lost_workers(None, ""):
        raise UnavailableError
    with pytest.raises(KeyError), telling_of_lost_workers(cluster, ""):
        raise KeyError


def test_it_takes_no_tensorflow():
    asked = (
        "import sys, segtrain.training.cluster, segtrain.training.local_workers; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
