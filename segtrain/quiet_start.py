"""Keeps the start-up notices of native libraries off the terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Descriptors of standard error that are put back when what is sent elsewhere ends, the process' own first.
_put_aside: list[int] = []


def own_standard_error() -> int:
    """Returns the descriptor of the standard error that the process was given, also while messages go elsewhere."""
    return _put_aside[0] if _put_aside else 2


@contextlib.contextmanager
def native_messages_to(log: Path) -> Iterator[None]:
    """Sends what is written to the standard error descriptor to the end of `log`.

    TensorFlow's native code writes to the descriptor itself, before its own log level is read; a missing CUDA driver
    alone is three lines. Python's exceptions are raised as always.
    """
    with log.open("ab") as file:
        sys.stderr.flush()
        own = os.dup(2)
        os.dup2(file.fileno(), 2)
        _put_aside.append(own)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(_put_aside[-1], 2)
        os.close(_put_aside.pop())
