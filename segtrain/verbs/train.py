"""Trains a network from a config."""

from omegaconf import OmegaConf
from rich.console import Console

from segtrain.experiment import recorded, run_experiment
from segtrain.following import follow_chief
from segtrain.largest_batch import with_largest_batch
from segtrain.parts import open_splits
from segtrain.reports.terminal import print_line
from segtrain.run_folder import write_text
from segtrain.settings import TrainSettings, with_absolute_paths
from segtrain.sweeps.going_on import resume_command
from segtrain.training.cluster import unused_workers
from segtrain.training.local_workers import started_workers
from segtrain.verbs.invocation import Invocation


def train(settings: TrainSettings, invocation: Invocation) -> float | None:
    """Trains, scores the best checkpoint and writes the report.

    Returns:
        The best checkpoint's validation mean IoU: what a sweep compares. None of a worker that is not the chief.
    """
    folder, cluster = invocation.folder, invocation.cluster
    if cluster and not cluster.is_chief:
        return follow_chief(settings, open_splits(settings), cluster)
    if folder.results.exists():
        raise ValueError(
            f"There is a run in {folder.path} already, and two would mix. Type another hydra.run.dir=FOLDER, or go on "
            f"with it: {resume_command(folder.path)}."
        )
    with folder.held(), recorded(folder) as signals:
        config = with_absolute_paths(invocation.config)
        write_text(folder.config, OmegaConf.to_yaml(config))
        # A run that is killed has no time to say so: it counts as interrupted until it is done.
        folder.write_results({"status": "interrupted", "seed": settings.seed, "command": invocation.command})
        if unused := unused_workers(settings.trainer):
            print_line(Console(), unused)
        data = open_splits(settings)
        settings = with_largest_batch(settings, config, data, folder)
        go_on = f"Go on with: {resume_command(folder.path)}"
        with started_workers(cluster, folder, invocation.command, go_on) as cluster:
            return run_experiment(settings, data, folder, signals, cluster=cluster)
