"""The part of a worker that is not the chief: the same run, of which it keeps nothing."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from segtrain.experiment import run_experiment
from segtrain.pipeline.samples import Samples
from segtrain.resumption import Resumption
from segtrain.run_folder import RunFolder
from segtrain.settings import TrainSettings
from segtrain.training.cluster import Cluster
from segtrain.training.scratch_folder import scratch_folder
from segtrain.training.signals import StopSignals
from segtrain.training.state_files import files_until


@contextlib.contextmanager
def unseen() -> Iterator[RunFolder]:
    """Has a worker print nothing but errors, and gives it a folder of its own, which goes when it ends."""
    with (
        scratch_folder() as scratch,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        yield RunFolder(scratch)


def follow_chief(
    settings: TrainSettings, data: tuple[Samples, Samples], cluster: Cluster, resumption: Resumption | None = None
) -> None:
    """Trains along with the chief.

    Every callback decides as the chief's does, which takes the states and networks that some of them go back to.
    """
    with unseen() as folder, StopSignals("The chief says how to go on.") as signals:
        folder.write_results({"status": "interrupted", "seed": settings.seed})
        if resumption is not None:
            folder.last.mkdir(parents=True)
            for path in files_until(resumption.folder, resumption.state):  # the others the chief is removing just now
                shutil.copy(path, folder.last)
        run_experiment(settings, data, folder, signals, resumption, cluster)
