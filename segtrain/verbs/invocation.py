"""How a verb was called."""

from dataclasses import dataclass

from omegaconf import DictConfig

from segtrain.resumption import Resumption
from segtrain.run_folder import RunFolder


@dataclass(frozen=True)
class Invocation:
    """How a verb was called.

    Attributes:
        folder: the folder Hydra made for it.
        config: the composed config.
        command: the command line as typed.
        resumption: how a run goes on, where that has been read already.
    """

    folder: RunFolder
    config: DictConfig
    command: str
    resumption: Resumption | None = None
