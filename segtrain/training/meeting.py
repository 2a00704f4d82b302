"""How the workers of a run come together, and what is said when one goes. Imports no TensorFlow at import time."""

import contextlib
import errno
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from segtrain.training.cluster import Cluster, cluster_of, describe

SECONDS_BETWEEN_CALLS = 0.2
SECONDS_OF_SILENCE = 2.0
# For who has answered and does no more: one that begins to connect is away for a moment.
SECONDS_AWAY = 15.0
# For TensorFlow to connect those that all have answered. It adds 5, and would wait for an hour.
SECONDS_TO_CONNECT = 30
# TensorFlow's errors where one of the others does not answer any more, and that of `wait_for_others`.
_LOST = ("UnavailableError", "AbortedError", "DeadlineExceededError", "WorkerGoneError")
# Which are also those of faults of this process.
_PERHAPS_LOST = ("CancelledError", "InternalError")


class WorkerGoneError(ConnectionError):
    """A worker has come, and gone before all were there; the message says which."""


class WorkerLostError(ConnectionError):
    """Another worker of the run has gone; the message says how to go on."""


def wait_for_others(cluster: Cluster, seconds: float) -> None:
    """Waits until every other worker listens at its address, as this one does meanwhile.

    TensorFlow itself waits for an hour, does not say for whom, and lets Python do nothing in that time, not even end.

    Raises:
        ValueError: another process listens on this worker's port, or a worker has not come; says which.
        WorkerGoneError: one has come, and gone before all were there.
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
                raise WorkerGoneError(", ".join(describe(cluster, index) for index in gone))
            if now - began > seconds:
                raise ValueError(
                    f"Waited {seconds:g} seconds for {named} in vain{_unknown_hosts(cluster, silent)}. Start every "
                    "worker, or wait longer: trainer.wait_for_workers=SECONDS."
                )
            if now - began > SECONDS_OF_SILENCE and not is_told:
                from rich.console import Console  # which help need not wait for

                from segtrain.reports.terminal import print_line

                print_line(Console(stderr=True), f"waiting for {named}{_unknown_hosts(cluster, silent)}")
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
    # A name may be known to the others by an address of either family.
    takes_both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if takes_both or ":" in host else socket.AF_INET
    try:
        # Who calls is answered by the kernel.
        listener = socket.create_server(("", port), family=family, backlog=socket.SOMAXCONN, dualstack_ipv6=takes_both)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ValueError(
            f"Port {port} of {describe(cluster, cluster.index)} cannot be used: {os.strerror(error.errno).lower()}. "
            "End what uses it, or set a TF_CONFIG with another port for every worker; a port that trainer.workers has "
            "chosen is another one when you start again."
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
