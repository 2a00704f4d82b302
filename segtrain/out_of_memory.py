"""Says what a run tried when memory did not last, and what to lower. Imports no TensorFlow."""

import functools
import re
from collections.abc import Callable
from typing import Any


class OutOfMemoryError(MemoryError):
    """Memory did not last; the message says for what, and what to type."""


def tells_of_memory(train: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a function whose first argument are the settings of training or evaluation: it raises an
    `OutOfMemoryError`, in place of what TensorFlow or NumPy do.
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
    tried = f"batch_size={settings.batch_size or '(the run)'}"
    lower = [] if settings.batch_size == 1 else [f"batch_size={(settings.batch_size or 2) // 2}"]
    if hasattr(settings, "image_size"):  # it trains
        height, width = settings.image_size or ("any", "any")
        tried += f" with image_size=[{height},{width}]"
        lower += ["a smaller image_size", "dataset.cache=disk if decoded images take the memory"]
    elif settings.sees_images_one_by_one:
        tried, lower = "whole images", ["a sliding_window=[HEIGHT,WIDTH] that is smaller"]
    reason = re.search(r"OOM when allocating tensor with shape\[[\d,]*\]|Unable to allocate .*", str(error))
    return (
        f"Memory does not last for {tried}{f' ({reason[0]})' if reason else ''}. "
        f"Type {', or '.join(lower) or 'scale=original sliding_window=[HEIGHT,WIDTH]'}."
    )
