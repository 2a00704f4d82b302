"""The end of a sweep whose jobs are in workers' processes: none of them goes on without it, and each may save."""

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil

from segtrain.training.signals import SECONDS_TO_LEAVE

SECONDS_BETWEEN_LOOKS = 0.5


@functools.cache
def end_with_sweep(sweep_process: int, *, has_own_process: bool) -> None:
    """Has this process, where it is a worker that the sweep's own has begun, end when that is gone.

    Its job, in this process or in one of its own, saves and stops; no other begins.

    Args:
        sweep_process: number of the sweep's own process.
        has_own_process: whether jobs have processes of their own, which end with this one.
    """
    if os.getpid() == sweep_process:
        return

    def watch() -> None:
        while os.getppid() == sweep_process:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if has_own_process:
            os._exit(128 + signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def waiting_for_jobs_that_save() -> Iterator[None]:
    """Has a first Ctrl-C wait for the jobs of workers, which are told by it too: a launcher would kill them at once."""

    def wait(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        psutil.wait_procs(_jobs_of_workers(), timeout=SECONDS_TO_LEAVE)
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _jobs_of_workers() -> list[psutil.Process]:
    """Returns the jobs' processes whose workers a terminal's Ctrl-C reaches as it does this process."""
    jobs = []
    for worker in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(worker.pid) == os.getpgrp():
                jobs += worker.children()
    return jobs
