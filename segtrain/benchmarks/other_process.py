"""A contender in a process of its own, whose threads, memory and settings are nobody else's."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO

# Of Linux' prctl: PR_SET_PDEATHSIG.
SIGNAL_AT_DEATH_OF_PARENT = 1


class OtherProcess:
    """Calls a contender that runs as `python -m MODULE ARGUMENTS` and ends with `answer_turns`.

    Args:
        module: the module to run.
        *arguments: its arguments.
        log: where its standard error goes.

    Raises:
        RuntimeError: it ended before it was ready.
    """

    def __init__(self, module: str, *arguments: str, log: IO[str]):
        self._name = " ".join([module, *arguments])
        self._log = log.name
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            process_group=0,
        )

        self._hear()  # that it is ready

    def __call__(self) -> float:
        """Has the contender take a turn; returns its figure.

        Raises:
            RuntimeError: the process has ended, or said something else than a figure.
        """
        os.killpg(self._process.pid, signal.SIGCONT)
        with contextlib.suppress(OSError):  # it has ended, which is told by what is heard
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> float:
        """Returns the next figure. After it the process stands still, with its children: it reads nothing ahead."""
        line = self._process.stdout.readline()
        try:
            figure = float(line)
        except ValueError as error:
            self.close()
            raise RuntimeError(
                f"{self._name} ended with status {self._process.returncode}. What it said is in {self._log}"
            ) from error
        os.killpg(self._process.pid, signal.SIGSTOP)
        return figure

    def close(self) -> None:
        """Ends the process and its children."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.5)  # it may be about to end by itself, with a status that tells
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


def answer_turns(turn: Callable[[], float]) -> None:
    """Says that it is ready, then takes a turn for each line of standard input and prints its figure."""
    if sys.platform == "linux":
        # One that stands still would not hear that the other process has gone.
        ctypes.CDLL(None).prctl(SIGNAL_AT_DEATH_OF_PARENT, signal.SIGKILL)
    figures, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed is no figure
    print(0.0, file=figures, flush=True)
    for _ in sys.stdin:
        print(turn(), file=figures, flush=True)
    # Threads that read ahead have no end of their own.
    os._exit(0)
