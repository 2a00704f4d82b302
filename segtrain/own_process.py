"""How a process of its own is begun for a part of the work. Imports no TensorFlow."""

import os
import sys


def python_for(module: str) -> tuple[list[str], dict[str, str]]:
    """Returns command and environment of a Python process that runs a module.

    It finds the modules that this process finds, and none beside them in the folder that it is begun in: a user's
    `random.py` there is no module of ours.
    """
    return [sys.executable, "-P", "-m", module], os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
