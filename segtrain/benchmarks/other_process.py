"""A contender in a process of its own, whose threads, memory and settings are nobody else's."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO


class OtherProcess:
    """Calls a contender that runs as `python -m MODULE ARGUMENTS` and ends with `answer_turns`.

    Args:
        module: the module to run.
        *arguments: its arguments.
        log: where its standard error goes.
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

    def __call__(self) -> float:
        """Has the contender take a turn; returns its figure.

        Raises:
            RuntimeError: the process has ended.
        """
        try:
            # Between its turns it stands still, with all its children: nothing is read ahead at the others' expense.
            os.killpg(self._process.pid, signal.SIGCONT)
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            figure = float(self._process.stdout.readline())
            os.killpg(self._process.pid, signal.SIGSTOP)
            return figure
        except (OSError, ValueError) as error:
            status = self._process.wait()
            raise RuntimeError(f"{self._name} ended with status {status}. What it said is in {self._log}") from error

    def close(self) -> None:
        """Ends the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


def answer_turns(turn: Callable[[], float]) -> None:
    """Takes a turn for each line of standard input and prints its figure, until there are no more."""
    for _ in sys.stdin:
        print(turn(), flush=True)
    # Threads that read ahead have no end of their own.
    os._exit(0)
