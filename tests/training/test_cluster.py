"""Who the workers are, without TensorFlow."""

import json
import re
import subprocess
import sys

import pytest

from segtrain.training import cluster as cluster_module
from segtrain.training.cluster import Cluster, cluster_of, local_cluster, read_cluster, slurm_cluster, unused_workers


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


def test_workers_that_a_run_does_without_are_told_of(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    assert unused_workers({"strategy": "auto"}) is None
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    assert unused_workers({"strategy": "auto"}).startswith("warning: srun has started 3 tasks, and trainer.strategy=au")
    monkeypatch.setenv("TF_CONFIG", tf_config(WORKERS)["TF_CONFIG"])
    assert unused_workers({"strategy": "one"}).startswith("warning: TF_CONFIG is set, and trainer.strategy=one trains")
    assert unused_workers({"strategy": "multiworker"}) is None


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
        "SLURM_JOB_ID": "40007", "SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_NODEID": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "addresses"),
    [
        ({}, ("n1:12021", "n1:12022", "n2:12023")),
        ({"SLURM_JOB_ID": "40008"}, ("n1:12024", "n1:12025", "n2:12026")),  # the next job, maybe on the same nodes
        ({"SLURM_STEP_ID": "1"}, ("n1:13018", "n1:13019", "n2:13020")),  # beside it
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


def test_it_takes_no_tensorflow():
    modules = ", ".join(f"segtrain.training.{name}" for name in ("cluster", "local_workers", "meeting"))
    asked = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
