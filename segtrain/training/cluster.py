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

from segtrain.machine import free_memory, usable_cores

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
KINDS = ("chief", "worker")
# IPv6 has brackets around it.
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\s:/\[\]]+):(\d{1,5})")
# What a process with TensorFlow and a small network holds.
BYTES_OF_WORKER = 1_000_000_000
SECONDS_BETWEEN_CALLS = 0.2
SECONDS_OF_SILENCE = 2.0
# For who has answered and does no more: one that begins to connect is away for a moment.
SECONDS_AWAY = 15.0
# For TensorFlow to connect those that all have answered. It adds 5, and would wait for an hour.
SECONDS_TO_CONNECT = 30
# Below those that Linux gives to calls.
FIRST_PORT_OF_SLURM, PORTS_OF_SLURM = 12_000, 20_000
# TensorFlow's errors where one of the others does not answer any more, and that of `wait_for_others`.
_LOST = ("UnavailableError", "AbortedError", "DeadlineExceededError", "ConnectionAbortedError")
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
    workers = option.get("workers")
    has_config, tasks = bool(os.environ.get("TF_CONFIG")), int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1)
    if workers is None:
        return slurm_cluster() if tasks > 1 and not has_config else read_cluster()
    if has_config:
        raise ValueError(
            f"trainer.workers={workers}: starts workers on this machine, and TF_CONFIG names workers already. "
            "Type trainer.workers=null to train with those, or unset TF_CONFIG."
        )
    if tasks > 1:
        raise ValueError(
            f"trainer.workers={workers}: starts workers on this machine, and each of srun's {tasks} tasks would. "
            "Type trainer.workers=null to train with the tasks, or srun --ntasks=1."
        )
    return local_cluster(workers)


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
        tasks, task = dict(config["cluster"]), dict(config["task"])
        kind, index = task["type"], task["index"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"TF_CONFIG has to name a cluster and this process' task in it. Received: {text}. Set it like {EXAMPLE}"
        ) from error
    unknown = sorted({*tasks, str(kind)} - set(KINDS))
    if unknown:
        raise ValueError(
            f"TF_CONFIG: the tasks of a cluster are chief and worker. Received: {', '.join(unknown)}. Leave those out: "
            "the workers score, and keep all weights."
        )
    addresses = {each: _checked(each, tasks.get(each, [])) for each in KINDS}
    try:
        index = int(index)
    except (TypeError, ValueError) as error:
        raise ValueError(f"TF_CONFIG: the index of a task is a whole number. Received: {json.dumps(index)}.") from error
    if not 0 <= index < len(addresses[kind]):
        counts = " and ".join(f"{len(addresses[each])} of type {each}" for each in KINDS if addresses[each])
        raise ValueError(
            f"TF_CONFIG: the task is {kind} {index}, but the cluster has {counts or 'no tasks'}, counted from 0."
        )
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


def _checked(kind: str, addresses: Any) -> list[str]:
    """Returns the addresses of a kind of task.

    Raises:
        ValueError: which is none.
    """
    if not isinstance(addresses, list):
        raise ValueError(
            f"TF_CONFIG: the addresses of type {kind} have to be a list. Received: {json.dumps(addresses)}. "
            f"Set it like {EXAMPLE}"
        )
    for index, address in enumerate(addresses):
        match = ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if match is None or not 0 < int(match[3]) < 65536:
            raise ValueError(
                f"TF_CONFIG: the address of {kind} {index} has to be host:port, with a port of 1 to 65535 and brackets "
                f"around IPv6: host1:2222, [::1]:2222. Received: {json.dumps(address)}."
            )
    return addresses


def describe(cluster: Cluster, index: int) -> str:
    return f"worker {index} ({cluster.addresses[index]})"


def wait_for_others(cluster: Cluster, seconds: float) -> None:
    """Waits until every other worker listens at its address, as this one does meanwhile.

    TensorFlow itself waits for an hour, does not say for whom, and lets Python do nothing in that time, not even end.

    Raises:
        ValueError: another process listens on this worker's port, or a worker has not come; says which.
        ConnectionAbortedError: one has come, and gone before all were there.
    """
    others = [index for index in range(len(cluster.addresses)) if index != cluster.index]
    began, is_told = time.monotonic(), False
    away_since: dict[int, float | None] = {}  # of those that have come
    with _listening(cluster) as listener:
        while True:
            _take_calls(listener)
            for index in others:
                if _answers(cluster.addresses[index]):
                    away_since[index] = None
                elif index in away_since:
                    away_since[index] = away_since[index] or time.monotonic()
            silent = [index for index in others if index not in away_since]
            if not silent:
                # For the others to have seen this one, too: they would wait for it, should it go, as for a late one.
                time.sleep(2 * SECONDS_BETWEEN_CALLS)
                return
            now, named = time.monotonic(), ", ".join(describe(cluster, index) for index in silent)
            gone = [index for index, since in away_since.items() if since and now - since > SECONDS_AWAY]
            if gone:
                raise ConnectionAbortedError(", ".join(describe(cluster, index) for index in gone))
            if now - began > seconds:
                raise ValueError(
                    f"Waited {seconds:g} seconds for {named} in vain{_unknown_hosts(cluster, silent)}. Start every "
                    "worker, or wait longer: trainer.wait_for_workers=SECONDS."
                )
            if now - began > SECONDS_OF_SILENCE and not is_told:
                from rich.console import Console  # which help need not wait for

                from segtrain.reports.terminal import print_line

                print_line(Console(), f"waiting for {named}{_unknown_hosts(cluster, silent)}")
                is_told = True
            time.sleep(SECONDS_BETWEEN_CALLS)


def _unknown_hosts(cluster, indices):
    """Returns which names have no address here, so far: that of a pod comes with it."""
    hosts = sorted({_host_and_port(cluster.addresses[index])[0] for index in indices})
    unknown = [host for host in hosts if not _is_known(host)]
    return f"; no address is known here of {', '.join(unknown)}" if unknown else ""


def _is_known(host):
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _listening(cluster):
    host, port = _host_and_port(cluster.addresses[cluster.index])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Who calls is answered by the kernel.
        listener = socket.create_server(("", port), family=family, backlog=socket.SOMAXCONN)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ValueError(
            f"Port {port} of {describe(cluster, cluster.index)} cannot be used: {os.strerror(error.errno).lower()}. "
            "End what uses it, or name another port in every worker's TF_CONFIG."
        ) from error
    listener.setblocking(False)
    return listener


def _take_calls(listener):
    """Ends the calls that have come: where too many are left waiting, no other is answered."""
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_host_and_port(address), timeout=2.0).close()
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
        ConnectionAbortedError, tf.errors.DeadlineExceededError or the like: one has come, and gone again.
    """
    import tensorflow as tf

    cluster = cluster_of({"strategy": "multiworker"})
    wait_for_others(cluster, seconds)
    _bound_connecting(cluster)
    communication = tf.distribute.experimental.CommunicationImplementation
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        cluster_resolver=tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(cluster.addresses)}), task_type="worker", task_id=cluster.index
        ),
        # NCCL where there are GPUs.
        communication_options=tf.distribute.experimental.CommunicationOptions(
            implementation=communication.AUTO if tf.config.list_physical_devices("GPU") else communication.RING
        ),
    )
    if threading.current_thread() is threading.main_thread():
        # TensorFlow has put a handler of its own over Python's, which it would not come back to.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    return strategy


def _bound_connecting(cluster: Cluster) -> None:
    """Has TensorFlow give up where a worker that has answered goes while they connect.

    The strategy configures the same where nothing is configured, but with an hour to connect; nothing public sets it.
    All have to come as they register: what comes after it waits for an hour too, but sees whose heart stops.
    """
    from tensorflow.python.eager import context

    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=SECONDS_TO_CONNECT * 1000,
    )
    service = context.context().coordination_service
    service.coordinated_job_list.add(name="worker", num_tasks=len(cluster.addresses))
    service.cluster_register_with_barrier = True
