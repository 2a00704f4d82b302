"""Says which file of a pair is at fault where it cannot be used, and how."""

from typing import Protocol, runtime_checkable

from segtrain.datasets.dataset import Split
from segtrain.datasets.problems import BadSampleError, Problem


@runtime_checkable
class HasImageFiles(Protocol):
    """A split whose images are files."""

    def image_source(self, index: int) -> str:
        """Returns the path of the image."""


def name_fault(samples: Split, index: int, error: Exception) -> Problem:
    """Returns what is wrong with a pair.

    Args:
        samples: the split.
        index: which pair.
        error: what reading it raised. A `BadSampleError` says of which kind it is; where the image's file is at fault,
            the message begins with its path.
    """
    kind = error.kind if isinstance(error, BadSampleError) else "unreadable"
    message = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
    image = image_source(samples, index)
    if message.startswith(f"{image}:"):
        return Problem(kind, image, message)
    mask = mask_source(samples, index)
    return Problem(kind, mask, message if mask in message else f"{mask}: {message}")


def mask_source(samples: Split, index: int) -> str:
    """Returns where a pair's mask comes from, for messages; its number where the name cannot be read."""
    try:
        return samples.source(index)
    except Exception:
        return f"sample {index}"


def image_source(samples: Split, index: int) -> str:
    """Returns where a pair's image comes from, for messages."""
    return samples.image_source(index) if isinstance(samples, HasImageFiles) else mask_source(samples, index)
