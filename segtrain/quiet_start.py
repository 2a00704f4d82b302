"""Keeps the start-up notices of native libraries off the terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def native_messages_to(log: Path) -> Iterator[None]:
    """Sends what is written to the standard error descriptor to the end of `log`.

    TensorFlow's native code writes to the descriptor itself, before its own log level is read; a missing CUDA driver
    alone is three lines. Python's exceptions are raised as always.
    """
    with log.open("ab") as file:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
