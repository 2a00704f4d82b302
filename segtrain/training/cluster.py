"""Who the workers of a run are. Imports no TensorFlow.

Whatever starts the workers tells each by the variable TF_CONFIG where all of them listen, and which one it is; or it is
Slurm, whose own variables tell.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segtrain.machine import free_memory, usable_cores

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
KINDS = ("chief", "worker")
# IPv6 has brackets around it.
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\s:/\[\]]+):(\d{1,5})")
# What a process with TensorFlow and a small network holds.
BYTES_OF_WORKER = 1_000_000_000
# Below those that Linux gives to calls.
FIRST_PORT_OF_SLURM, PORTS_OF_SLURM = 12_000, 20_000
PORTS_BETWEEN_STEPS = 997


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


def unused_workers(option: Mapping[str, Any]) -> str | None:
    """Returns a line on workers that have been started with this process, of a run that trains without them."""
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1)
    if option.get("strategy") == "multiworker" or not (os.environ.get("TF_CONFIG") or tasks > 1):
        return None
    started = "TF_CONFIG is set" if os.environ.get("TF_CONFIG") else f"srun has started {tasks} tasks"
    return (
        f"warning: {started}, and trainer.strategy={option.get('strategy')} trains in this process alone. For all "
        "workers to train one run together type trainer.strategy=multiworker"
    )


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
    return Cluster(free_addresses(count), 0, starts_others=True)


def free_addresses(count: int) -> tuple[str, ...]:
    """Returns so many addresses of this machine at which nobody listens now."""
    with contextlib.ExitStack() as stack:  # all at once, so that no two are the same
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes)


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

    Ports are counted from the numbers of the job and of the step, so that runs beside each other on a node seldom meet.
    No two tasks have the same, as one host may be several of Slurm's nodes.

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
        job, step = int(environment["SLURM_JOB_ID"]), int(environment["SLURM_STEP_ID"])
        first_port = FIRST_PORT_OF_SLURM + (job * sum(counts) + step * PORTS_BETWEEN_STEPS) % PORTS_OF_SLURM
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
