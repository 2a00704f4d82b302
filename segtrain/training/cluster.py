"""Who the workers of a run are, and how they come together. Imports no TensorFlow.

Whatever starts the workers tells each by the variable TF_CONFIG where all of them listen, and which one it is; or it is
Slurm, whose own variables tell.
"""

import contextlib
import errno
import functools
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from segtrain.machine import free_memory, usable_cores
from segtrain.reports.terminal import print_line

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
KINDS = ("chief", "worker")
# What a process with TensorFlow and a small network holds.
BYTES_OF_WORKER = 1_000_000_000
SECONDS_BETWEEN_CALLS = 0.2
SECONDS_OF_SILENCE = 2.0
# Below those that Linux gives to calls.
FIRST_PORT_OF_SLURM, PORTS_OF_SLURM = 12_000, 20_000
# TensorFlow's errors where one of the others does not answer any more.
_LOST = ("UnavailableError", "AbortedError", "DeadlineExceededError")
# Which are also those of faults of this process.
_PERHAPS_LOST = ("CancelledError", "InternalError")


class WorkerLostError(ConnectionError):
    """Another worker of the run has gone; the message says how to go on."""


@dataclass(frozen=True)
class Cluster:
    """The workers of a run.

    Attributes:
        addresses: `host:port` of each, the chief first.
        index: which of them this process is. The chief, 0, is the one that writes the run's folder.
        starts_others: whether the chief starts the others, on this machine.
    """

    addresses: tuple[str, ...]
    index: int
    starts_others: bool = False

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def tf_config(self, index: int) -> str:
        """Returns the TF_CONFIG of a worker."""
        tasks = {"worker": list(self.addresses)}
        return json.dumps({"cluster": tasks, "task": {"type": "worker", "index": index}})


def cluster_of(option: Mapping[str, Any]) -> Cluster | None:
    """Returns the cluster that the settings of a trainer ask for; None where one process trains alone.

    Raises:
        ValueError: TF_CONFIG or what Slurm tells is wrong, or this machine has no room for so many workers.
    """
    if option.get("strategy") != "multiworker":
        return None
    if not os.environ.get("TF_CONFIG"):
        if option.get("workers") is not None:
            return local_cluster(option["workers"])
        if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            return slurm_cluster()
    return read_cluster()


def local_cluster(count: int) -> Cluster:
    """Returns a cluster of so many processes of this machine, at ports that are free.

    Raises:
        ValueError: it has too few cores, or too little memory.
    """
    cores, memory = usable_cores(), free_memory()
    most = min(max(2, cores), memory // BYTES_OF_WORKER)
    if count > most:
        raise ValueError(
            f"trainer.workers={count}: each takes a core and {BYTES_OF_WORKER / 1e9:.1f} GB of memory or more. This "
            f"machine has {cores} cores and {memory / 1e9:.1f} GB free. "
            + (f"Type trainer.workers={most}." if most > 1 else "Type trainer.strategy=one.")
        )
    with contextlib.ExitStack() as stack:  # all at once, so that no two are the same
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        addresses = tuple(f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes)
    return Cluster(addresses, 0, starts_others=True)


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Returns the cluster that TF_CONFIG names.

    Raises:
        ValueError: what is wrong with it.
    """
    text = environment.get("TF_CONFIG", "")
    if not text:
        raise ValueError(
            "trainer.strategy=multiworker needs workers: TF_CONFIG is not set. Type trainer.workers=2 for two "
            f"processes on this machine, or set TF_CONFIG for each worker: {EXAMPLE}"
        )
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"TF_CONFIG is not JSON ({error}). Received: {text}. Set it like {EXAMPLE}") from error
    try:
        tasks, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        unknown = sorted(set(tasks) - set(KINDS))
        addresses = {each: [_checked(address) for address in tasks.get(each, [])] for each in KINDS}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"TF_CONFIG has to name a cluster and this process' task in it. Received: {text}. Set it like {EXAMPLE}"
        ) from error
    if unknown:
        raise ValueError(f"TF_CONFIG: the tasks of a cluster are chief and worker. Received: {', '.join(unknown)}.")
    if kind not in KINDS or not 0 <= index < len(addresses[kind]):
        counts = " and ".join(f"{len(addresses[each])} of type {each}" for each in KINDS if addresses[each])
        raise ValueError(f"TF_CONFIG: the task is {kind} {index}, but the cluster has {counts or 'no tasks'}.")
    if len(addresses["chief"]) > 1:
        raise ValueError(f"TF_CONFIG: a cluster has one chief. Received: {len(addresses['chief'])}.")
    together = tuple(addresses["chief"] + addresses["worker"])
    if len(together) < 2:
        raise ValueError(f"TF_CONFIG names one worker: {together[0]}. Name two or more, or use trainer.strategy=one.")
    twice = sorted({address for address in together if together.count(address) > 1})
    if twice:
        raise ValueError(
            f"TF_CONFIG: each worker listens at an address of its own. Received twice: {', '.join(twice)}."
        )
    return Cluster(together, index + (len(addresses["chief"]) if kind == "worker" else 0))


def slurm_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Returns the cluster of the tasks that an `srun` has started.

    Ports are counted from the job's number, so that two jobs on a node do not meet, and no two tasks have the same, as
    one host may be several of Slurm's nodes.

    Raises:
        ValueError: Slurm does not say on which nodes they run, or has not laid them out node by node.
    """
    try:
        nodes = subprocess.run(
            ["scontrol", "show", "hostnames", environment["SLURM_STEP_NODELIST"]],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout.split()  # fmt: skip
        counts = [
            int(count)
            for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", environment["SLURM_STEP_TASKS_PER_NODE"])
            for _ in range(int(times or 1))
        ]
        index, node = int(environment["SLURM_PROCID"]), int(environment["SLURM_NODEID"])
        first_port = FIRST_PORT_OF_SLURM + int(environment["SLURM_JOB_ID"]) * sum(counts) % PORTS_OF_SLURM
    except (KeyError, ValueError, OSError, subprocess.SubprocessError) as error:
        raise ValueError(
            f"Slurm does not say where its tasks run ({type(error).__name__}: {error}). Start them with srun, or set "
            f"TF_CONFIG for each: {EXAMPLE}"
        ) from error
    places = [at for at, count in enumerate(counts) for _ in range(count)]
    if len(nodes) != len(counts) or index >= len(places) or places[index] != node:
        raise ValueError(
            f"Slurm's task {index} of {len(places)} is not where one node's tasks after the other's would have it "
            f"(node {node} of {', '.join(nodes)}). Start them with srun --distribution=block."
        )
    return Cluster(tuple(f"{nodes[at]}:{first_port + task}" for task, at in enumerate(places)), index)


def _checked(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not 0 < int(port) < 65536:
        raise ValueError(address)
    return address


def describe(cluster: Cluster, index: int) -> str:
    return f"worker {index} ({cluster.addresses[index]})"


def wait_for_others(cluster: Cluster, seconds: float) -> None:
    """Waits until every other worker listens at its address, as this one does meanwhile.

    TensorFlow itself waits for an hour, does not say for whom, and lets Python do nothing in that time, not even end.

    Raises:
        ValueError: another process listens on this worker's port, or a worker has not come; says which.
    """
    began, is_told = time.monotonic(), False
    with _listening(cluster):
        silent = [index for index in range(len(cluster.addresses)) if index != cluster.index]
        while silent := [index for index in silent if not _answers(cluster.addresses[index])]:
            named, waited = ", ".join(describe(cluster, index) for index in silent), time.monotonic() - began
            if waited > seconds:
                raise ValueError(
                    f"Waited {seconds:g} seconds for {named} in vain. Start every worker, or wait longer: "
                    "trainer.wait_for_workers=SECONDS."
                )
            if waited > SECONDS_OF_SILENCE and not is_told:
                print_line(Console(), f"waiting for {named}")
                is_told = True
            time.sleep(SECONDS_BETWEEN_CALLS)


def _listening(cluster):
    host, _, port = cluster.addresses[cluster.index].rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        # Who calls is answered by the kernel. Each of the others does so until it has been once.
        return socket.create_server(("", int(port)), family=family, backlog=len(cluster.addresses))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ValueError(
            f"Port {port} of {describe(cluster, cluster.index)} cannot be used: {os.strerror(error.errno).lower()}. "
            "End what uses it, or name another port in every worker's TF_CONFIG."
        ) from error


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2.0).close()
    except OSError:
        return False
    return True


def silent_workers(cluster: Cluster) -> list[str]:
    """Returns the workers that nobody answers for."""
    others = (index for index in range(len(cluster.addresses)) if index != cluster.index)
    return [describe(cluster, index) for index in others if not _answers(cluster.addresses[index])]


@contextlib.contextmanager
def telling_of_lost_workers(cluster: Cluster | None, how_to_go_on: str) -> Iterator[None]:
    """Says in a line that another worker has gone, in place of what TensorFlow says.

    Raises:
        WorkerLostError: one has.
    """
    try:
        yield
    except Exception as error:
        # By its name, since this imports no TensorFlow.
        if cluster is None or type(error).__name__ not in (*_LOST, *_PERHAPS_LOST):
            raise
        silent = silent_workers(cluster)
        if not silent and type(error).__name__ in _PERHAPS_LOST:
            raise
        lost = ", ".join(silent) or "another worker"
        raise WorkerLostError(f"{lost} does not answer any more. {how_to_go_on}") from error


@functools.cache
def join_cluster(seconds: float) -> Any:
    """Waits for the other workers. Returns the strategy over all; a process joins once.

    Args:
        seconds: how long to wait.

    Raises:
        ValueError: the cluster is not known, the port is taken, or a worker has not come; says which.
    """
    import tensorflow as tf

    cluster = cluster_of({"strategy": "multiworker"})
    os.environ["TF_CONFIG"] = cluster.tf_config(cluster.index)  # which TensorFlow reads, and Slurm does not set
    wait_for_others(cluster, seconds)
    communication = tf.distribute.experimental.CommunicationImplementation
    # NCCL where there are GPUs.
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=communication.AUTO if tf.config.list_physical_devices("GPU") else communication.RING
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    if threading.current_thread() is threading.main_thread():
        # TensorFlow has put a handler of its own over Python's, which it would not come back to.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    return strategy


def require_same_run(strategy: Any, cluster: Cluster, digest: bytes, flag: bool) -> bool:
    """Compares what the workers are about to do. All have to call it, as the first thing they do together.

    Args:
        strategy: of `join_cluster`.
        cluster: the workers.
        digest: hash of whatever has to be the same.
        flag: what the chief decides.

    Returns:
        The chief's flag.

    Raises:
        ValueError: which worker differs from the chief.
    """
    import numpy as np
    import tensorflow as tf

    own = tf.constant(np.append(np.frombuffer(digest, np.int32), np.int32(flag))[None])
    every = strategy.gather(strategy.experimental_distribute_values_from_function(lambda _: own), axis=0).numpy()
    of_workers = every.reshape(len(cluster.addresses), -1, every.shape[1])[:, 0]
    other = [describe(cluster, index) for index, row in enumerate(of_workers) if (row != of_workers[0])[:-1].any()]
    if other:
        raise ValueError(
            f"{', '.join(other)}: another config, other data or another version of segtrain than the chief's. Start "
            "all workers with the same command and the same code."
        )
    return bool(of_workers[0, -1])
