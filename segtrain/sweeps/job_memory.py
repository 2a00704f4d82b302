"""What a job leaves in the memory of a process that has others to run."""

import contextlib
import gc
import sys
from collections.abc import Iterator

# Under these names TensorFlow registers a gradient for each function that a graph calls, and for each custom gradient.
GRADIENTS_OF_GRAPHS = ("PartitionedCall-", "CustomGradient-", "IdentityN-")


@contextlib.contextmanager
def memory_returned() -> Iterator[None]:
    """Gives back what a job of this process has taken, as it ends.

    TensorFlow 2.21 forgets neither the gradients of functions that a graph calls, and with them the graph and its
    variables, nor the Python functions of tf.data, and with them the images: 30 MB a job of the smallest networks.
    Nothing public clears either, so this takes what came during the job out of the two lists; where another version
    has no such list, it does nothing.
    """
    gradients_before, num_functions_before = set(_gradients()), len(_python_functions())
    try:
        yield
    finally:
        gradients, functions = _gradients(), _python_functions()
        for name in [name for name in gradients if name.startswith(GRADIENTS_OF_GRAPHS)]:
            if name not in gradients_before:
                del gradients[name]
        del functions[num_functions_before:]
        gc.collect()  # networks refer to themselves


def _gradients():
    ops = sys.modules.get("tensorflow.python.framework.ops")
    return getattr(getattr(ops, "gradient_registry", None), "_registry", {})


def _python_functions():
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not hasattr(tensorflow, "compat"):  # not loaded, or being loaded
        return []
    return getattr(tensorflow.compat.v1.get_default_graph(), "_py_funcs_used_in_graph", [])
