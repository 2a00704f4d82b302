"""Keeps the problems of a dataset, and says which of them would make training wrong."""

import os
from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

from segtrain.datasets.problems import Problem, ProblemKind

# A hundred thousand bad masks are told by their number and the first of them: a list of all would not fit the memory
# of some machines, nor the patience of anybody.
MOST_KEPT_OF_A_KIND = 1000

# Where nothing else is said, these only deserve a look. With the others a run stops, or its score says nothing.
HARMLESS: set[ProblemKind] = {"missing_image", "all_void", "duplicate", "absent_class"}


@dataclass(frozen=True)
class Finding:
    """A problem, and whether it would make training wrong (`error`) or only deserves a look (`warning`)."""

    problem: Problem
    severity: Literal["error", "warning"]

    def as_dict(self) -> dict[str, str]:
        kind, file, detail = self.problem.kind, self.problem.file, self.problem.detail
        return {"kind": kind, "severity": self.severity, "file": printable(file), "detail": printable(detail)}


class Findings:
    """Counts all problems and keeps the first of each kind. Its `tell` is what a dataset's builder takes."""

    def __init__(self):
        self._kept: list[Finding] = []
        self._counts: Counter[tuple[ProblemKind, str]] = Counter()

    def tell(self, problem: Problem, *, serious: bool | None = None) -> None:
        """Takes a problem in.

        Args:
            problem: the problem.
            serious: whether it would make training wrong; what is usual for its kind when None.
        """
        if serious is None:
            serious = problem.kind not in HARMLESS
        severity = "error" if serious else "warning"
        self._counts[problem.kind, severity] += 1
        if self._counts[problem.kind, severity] <= MOST_KEPT_OF_A_KIND:
            self._kept.append(Finding(problem, severity))

    def counts(self, severity: Literal["error", "warning"]) -> dict[ProblemKind, int]:
        """Returns how many problems of each kind there are, those that were not kept included."""
        kinds = (kind for kind in get_args(ProblemKind) if self._counts[kind, severity])
        return {kind: self._counts[kind, severity] for kind in kinds}

    def kept(self) -> list[Finding]:
        """Returns the problems that were kept: errors first, by kind, in the order they were told."""
        kinds = get_args(ProblemKind)
        return sorted(self._kept, key=lambda finding: (finding.severity, kinds.index(finding.problem.kind)))


def printable(text: str) -> str:
    """Returns text that can be written as UTF-8; bytes of a file's name in another encoding become U+FFFD."""
    return os.fsencode(text).decode("utf-8", "replace")
