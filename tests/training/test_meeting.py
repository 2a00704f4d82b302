"""How workers come together, and what is said when one goes, without TensorFlow."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from segtrain.training import meeting
from segtrain.training.cluster import Cluster, local_cluster
from segtrain.training.meeting import (
    SECONDS_BETWEEN_CALLS,
    WorkerGoneError,
    WorkerLostError,
    _listening,
    _take_calls,
    silent_workers,
    telling_of_lost_workers,
    wait_for_others,
)


def test_a_port_that_is_taken_and_a_worker_that_is_not_there():
    with socket.socket() as taken, socket.socket() as closed:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens
        here, there = (f"127.0.0.1:{each.getsockname()[1]}" for each in (taken, closed))
        with pytest.raises(ValueError, match=rf"Port \d+ of worker 0 \({here}\) cannot be used"):
            wait_for_others(Cluster((here, there), 0), 0.1)
        assert silent_workers(Cluster(("127.0.0.1:1", here, there), 0)) == [f"worker 2 ({there})"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_worker_is_answered_under_addresses_of_both_families(host):
    port = local_cluster(2).addresses[0].rpartition(":")[2]
    with _listening(Cluster((f"{host}:{port}", "127.0.0.1:1"), 0)):
        assert silent_workers(Cluster(("127.0.0.1:1", f"[::1]:{port}", f"127.0.0.1:{port}"), 0)) == []


def test_workers_wait_for_each_other_and_tell_who_does_not_come(monkeypatch, capsys):
    addresses = (*local_cluster(2).addresses, "127.0.0.1:1")
    both = [Cluster(addresses[:2], index) for index in range(2)]
    with ThreadPoolExecutor() as threads:
        first = threads.submit(wait_for_others, both[0], 20.0)
        assert not first.done()
        with _listening(both[1]):
            first.result()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(meeting, "SECONDS_OF_SILENCE", 0)
    with pytest.raises(ValueError, match=r"Waited 0.1 seconds for worker 1 \(.*\), worker 2 \(127.0.0.1:1\) in vain"):
        wait_for_others(Cluster(addresses, 0), 0.1)
    assert capsys.readouterr().err == f"waiting for worker 1 ({addresses[1]}), worker 2 (127.0.0.1:1)\n"


def test_a_name_without_an_address_is_told(capsys, monkeypatch):
    monkeypatch.setattr(meeting, "SECONDS_OF_SILENCE", 0)
    (here,) = local_cluster(2).addresses[:1]
    cluster = Cluster((here, "127.0.0.1:1", "nowhere.invalid:2"), 0)
    told = "worker 1 (127.0.0.1:1), worker 2 (nowhere.invalid:2){}; no address is known here of nowhere.invalid"
    with pytest.raises(ValueError, match=re.escape(told.format(" in vain"))):
        wait_for_others(cluster, 0.1)
    assert capsys.readouterr().err == f"waiting for {told.format('')}\n"


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
    monkeypatch.setattr(meeting, "SECONDS_AWAY", 0.5)
    cluster = Cluster((*local_cluster(2).addresses, "127.0.0.1:1"), 0)
    with ThreadPoolExecutor() as threads:
        with _listening(Cluster(cluster.addresses, 1)) as other:
            waiting = threads.submit(wait_for_others, cluster, 60.0)
            other.settimeout(20)
            other.accept()
            time.sleep(2 * SECONDS_BETWEEN_CALLS)
            assert not waiting.done()
        with pytest.raises(WorkerGoneError, match=re.escape(f"worker 1 ({cluster.addresses[1]})")):
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
