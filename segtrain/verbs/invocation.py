"""How a verb was called."""

from dataclasses import dataclass

from omegaconf import DictConfig

from segtrain.resumption import Resumption
from segtrain.run_folder import RunFolder
from segtrain.training.cluster import Cluster


@dataclass(frozen=True)
class Invocation:
    """How a verb was called.

    Attributes:
        folder: the folder Hydra made for it; a worker that is not the chief writes nothing there.
        config: the composed config.
        command: the command line as typed.
        resumption: how a run goes on, where that has been read already.
        cluster: the workers that train the run together, if several do.
    """

    folder: RunFolder
    config: DictConfig
    command: str
    resumption: Resumption | None = None
    cluster: Cluster | None = None
