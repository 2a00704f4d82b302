"""Hydra's callback at the end of a sweep."""

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console

from segtrain.reports.comparison import compare_sweep


class CompareWhenDone(Callback):
    """Ends a sweep with its comparison, and with status 1 where a job failed."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            failed = compare_sweep(Path(config.hydra.sweep.dir), Console())
        except (ValueError, OSError) as error:  # Hydra would turn it into a warning, and the status into 0
            sys.exit(f"segtrain: error: {error}")
        if failed:
            sys.exit(1)
