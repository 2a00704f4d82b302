"""Says which file of a pair is at fault where it cannot be read, and how."""

from pathlib import Path

from segtrain.datasets.dataset import Split
from segtrain.datasets.file_pairs import FilePairs
from segtrain.datasets.image_files import read_stored
from segtrain.datasets.problems import Problem


def name_fault(samples: Split, index: int, error: Exception) -> Problem:
    """Returns what is wrong with a pair.

    Args:
        samples: the split.
        index: which pair.
        error: what reading it raised; of files, its message begins with the file's path.
    """
    message, mask = str(error), samples.source(index)
    if not isinstance(samples, FilePairs):
        return Problem("unreadable", mask, message if mask in message else f"{mask}: {message}")
    image = samples.image_source(index)
    if message.startswith(f"{image}:"):
        return Problem("unreadable", image, message)
    try:
        samples.mask_pixels(index)
    except ValueError:
        return Problem("wrong_format" if _is_image(mask) else "unreadable", mask, message)
    return Problem("wrong_label", mask, message)


def image_source(samples: Split, index: int) -> str:
    """Returns where a pair's image comes from, for messages."""
    return samples.image_source(index) if isinstance(samples, FilePairs) else samples.source(index)


def _is_image(path: str) -> bool:
    try:
        read_stored(Path(path))
    except ValueError:
        return False
    return True
