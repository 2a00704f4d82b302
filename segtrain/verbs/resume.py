"""Goes on with a run."""

from omegaconf import OmegaConf
from rich.console import Console

from segtrain.experiment import recorded, run_experiment
from segtrain.following import follow_chief
from segtrain.largest_batch import with_largest_batch
from segtrain.parts import open_splits
from segtrain.reports.terminal import print_line
from segtrain.resumption import describe_data, plan_resumption
from segtrain.run_folder import write_text
from segtrain.settings import ResumeSettings
from segtrain.sweeps.going_on import resume_command
from segtrain.training.local_workers import started_workers
from segtrain.training.state_files import go_back_to
from segtrain.verbs.invocation import Invocation


def resume(settings: ResumeSettings, invocation: Invocation) -> float | None:
    """Goes on with a run from its last state, as if it had not been interrupted.

    Returns:
        As `train` does; None where the run is complete, too.

    Raises:
        ValueError: the data is not what the run has seen, or another process is training in the folder.
    """
    console = Console()
    resumption = invocation.resumption or plan_resumption(settings.run, settings.overrides, settings.allow_targets)
    folder = resumption.folder
    if resumption.has_nothing_to_do:
        epochs = folder.read_results().get("epochs", resumption.state.epoch)
        print_line(console, f"{folder.path} is complete: {epochs} epochs. To go on, type epochs=N.")
        return None
    data = open_splits(resumption.settings)
    resumption.require_same_data(describe_data(*data))
    cluster = invocation.cluster
    if cluster and not cluster.is_chief:
        return follow_chief(resumption.settings, data, cluster, resumption)
    with folder.held(), recorded(folder) as signals:
        for note in resumption.notes():
            print_line(console, note)
        go_back_to(folder, resumption.state)
        # In this order: a completed run whose config has the change already would have nothing to do.
        results = {name: value for name, value in folder.read_results().items() if name != "error"}
        folder.write_results(results | {"status": "interrupted"})
        write_text(folder.config, OmegaConf.to_yaml(resumption.config))
        go_on = f"Go on with: {resume_command(folder.path)}"
        run_settings = with_largest_batch(resumption.settings, resumption.config, data, folder)
        with started_workers(cluster, folder, invocation.command, go_on) as cluster:
            return run_experiment(run_settings, data, folder, signals, resumption, cluster)
