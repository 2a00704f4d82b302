"""Trains a network from a config."""

from omegaconf import OmegaConf

from segtrain.experiment import recorded, run_experiment
from segtrain.parts import open_splits
from segtrain.run_folder import write_text
from segtrain.settings import TrainSettings, with_absolute_paths
from segtrain.sweeps.going_on import resume_command
from segtrain.verbs.invocation import Invocation


def train(settings: TrainSettings, invocation: Invocation) -> float:
    """Trains, scores the best checkpoint and writes the report.

    Returns:
        The best checkpoint's validation mean IoU: what a sweep compares.
    """
    folder = invocation.folder
    if folder.results.exists():
        raise ValueError(
            f"There is a run in {folder.path} already, and two would mix. Type another hydra.run.dir=FOLDER, or go on "
            f"with it: {resume_command(folder.path)}."
        )
    with folder.held(), recorded(folder) as signals:
        write_text(folder.config, OmegaConf.to_yaml(with_absolute_paths(invocation.config)))
        # A run that is killed has no time to say so: it counts as interrupted until it is done.
        folder.write_results({"status": "interrupted", "seed": settings.seed, "command": invocation.command})
        return run_experiment(settings, open_splits(settings), folder, signals)
