"""What can be wrong with a dataset: training refuses the first problem, `segtrain inspect` lists all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ProblemKind = Literal[
    "unreadable",  # a file that is truncated, empty or no image
    "missing_mask",  # an image without a mask
    "missing_image",  # a mask without an image
    "ambiguous_name",  # two files that differ in their endings alone
    "wrong_format",  # a mask in a format or mode that cannot hold labels, such as JPEG
    "size_mismatch",  # image and mask differ in size
    "wrong_label",  # a value or colour in a mask that is neither a class nor void
    "all_void",  # a mask or a split that holds nothing but void
    "empty_split",
    "leakage",  # the same image in two splits
    "duplicate",  # the same image twice in one split
    "absent_class",  # a class that no pixel of a split has
]


@dataclass(frozen=True)
class Problem:
    """Something wrong with a dataset.

    Attributes:
        kind: what sort of thing.
        file: the file, or what stands for it where there is none.
        detail: what is required, what was found and what to do; a whole message that names the file.
    """

    kind: ProblemKind
    file: str
    detail: str


Tell = Callable[[Problem], None]


def refuse(problem: Problem) -> None:
    """Raises a ValueError with the problem's message: what a run does. `segtrain inspect` collects them instead."""
    raise ValueError(problem.detail)


class BadSampleError(ValueError):
    """One sample that cannot be used.

    Attributes:
        kind: what sort of thing is wrong.
    """

    def __init__(self, kind: ProblemKind, message: str):
        super().__init__(message)
        self.kind = kind
