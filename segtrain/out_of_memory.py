"""Says what a run tried when memory did not last, and what to lower. Imports no TensorFlow."""

import functools
import re
from collections.abc import Callable
from typing import Any


class OutOfMemoryError(MemoryError):
    """Memory did not last; the message says for what, and what to type."""


def tells_of_memory(train: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a function whose first argument are the settings of a run: it raises an `OutOfMemoryError`, in place
    of what TensorFlow or NumPy do.
    """

    @functools.wraps(train)
    def told(settings, *arguments, **options):
        try:
            return train(settings, *arguments, **options)
        except Exception as error:
            # By its name, since TensorFlow may not be there yet.
            if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
                raise
            raise OutOfMemoryError(_worded(error, settings)) from error

    return told


def _worded(error: Exception, settings: Any) -> str:
    height, width = settings.image_size or ("any", "any")
    lower = [f"batch_size={settings.batch_size // 2}"] if settings.batch_size > 1 else []
    lower += ["a smaller image_size", "dataset.cache=disk if decoded images take the memory"]
    reason = re.search(r"OOM when allocating tensor with shape\[[\d,]*\]|Unable to allocate .*", str(error))
    return (
        f"Memory does not last for batch_size={settings.batch_size} with image_size=[{height},{width}]"
        f"{f' ({reason[0]})' if reason else ''}. Type {', or '.join(lower)}."
    )
