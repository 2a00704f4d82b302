"""How configurations learnt: a column of metrics.csv over the epochs, mean and range over their runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segtrain.comparison.jobs import Job


@dataclass(frozen=True)
class Band:
    """A column over the epochs that all runs of a configuration have; longer runs count as far as the shortest goes.

    Attributes:
        epochs: int `(epochs,)`, from 1.
        of_runs: float64 `(runs, epochs)`.
    """

    epochs: np.ndarray
    of_runs: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.of_runs.mean(axis=0)


def learning_curve(runs: Sequence[Job], column: str) -> Band | None:
    """Returns a column of the runs' metrics.csv; None where no file has it. Runs without one are left out."""
    by_epoch = [values for run in runs if (values := run.by_epoch(column))]
    shared = sorted(set.intersection(*map(set, by_epoch))) if by_epoch else []
    if not shared:
        return None
    return Band(np.array(shared), np.array([[values[epoch] for epoch in shared] for values in by_epoch]))
