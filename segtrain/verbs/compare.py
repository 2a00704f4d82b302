"""Compares the runs of a sweep."""

from pathlib import Path

from rich.console import Console

from segtrain.reports.comparison import compare_sweep
from segtrain.settings import CompareSettings
from segtrain.verbs.invocation import Invocation


def compare(settings: CompareSettings, invocation: Invocation) -> None:
    """Compares the runs of a sweep and writes the comparison beside them."""
    compare_sweep(Path(settings.run).expanduser(), Console())
