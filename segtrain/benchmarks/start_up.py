"""Seconds from a command to its answer, and to the first training step, each in a process of its own."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import IO

from segtrain.benchmarks.alternation import Figure, ratio, take_turns

SEGTRAIN = ("-m", "segtrain")
EXIT_AFTER_FIRST_STEP = "+callbacks.exit._target_=segtrain.benchmarks.first_step.ExitAfterFirstStep"
# By name: Python's arguments and the exit status.
COMMANDS = {
    "help": ((*SEGTRAIN, "--help"), 0),
    "cfg_job": ((*SEGTRAIN, "--cfg", "job"), 0),
    "mistyped": ((*SEGTRAIN, "model=segnt"), 2),
    "import_tensorflow": (("-c", "import tensorflow"), 0),
    "first_step": ((*SEGTRAIN, EXIT_AFTER_FIRST_STEP), 0),
}


def measure_start_up(rounds: int, log: IO[str]) -> dict[str, Figure]:
    """Returns seconds of each command, and of the first step on `shapes` as a multiple of TensorFlow's bare import."""
    figures = take_turns({name: _timed(*command, log) for name, command in COMMANDS.items()}, rounds)
    seconds = {f"start_up.{name}_seconds": Figure.of(values) for name, values in figures.items()}
    return seconds | {"start_up.first_step_over_import": ratio(figures, "first_step", "import_tensorflow")}


def _timed(arguments: tuple[str, ...], expected_status: int, log: IO[str]) -> Callable[[], float]:
    def turn() -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            status = subprocess.run(
                [sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=log
            ).returncode
            seconds = time.perf_counter() - start
        if status != expected_status:
            raise RuntimeError(f"{' '.join(arguments)} ended with status {status}. What it said is in {log.name}")
        return seconds

    return turn
