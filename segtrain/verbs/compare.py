"""Compares runs."""

import os
from pathlib import Path

from rich.console import Console

from segtrain.reports.comparison import compare_folders
from segtrain.settings import CompareSettings
from segtrain.verbs.invocation import Invocation


def compare(settings: CompareSettings, invocation: Invocation) -> None:
    """Compares the runs of a sweep and writes the comparison beside them; that of several folders into its own."""
    runs = [settings.run] if isinstance(settings.run, str) else settings.run
    paths = list(dict.fromkeys(Path(os.path.expanduser(run)) for run in runs))
    folder = paths[0] if len(paths) == 1 else invocation.folder.path
    compare_folders(paths, folder, Console(), settings.allow_targets or ())
