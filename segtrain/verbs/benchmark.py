"""Times what a run consists of."""

import contextlib
import dataclasses
import functools

from rich.console import Console

from segtrain.following import unseen
from segtrain.instantiate import build
from segtrain.parts import build_run, open_dataset, start_tensorflow
from segtrain.run_folder import RunFolder
from segtrain.settings import BenchmarkSettings
from segtrain.training.cluster import Cluster
from segtrain.training.local_workers import started_workers
from segtrain.training.meeting import telling_of_lost_workers
from segtrain.training.same_run import digests_of_run
from segtrain.verbs.invocation import Invocation


def benchmark(settings: BenchmarkSettings, invocation: Invocation) -> None:
    """Times a run's parts and what segtrain claims of itself, in alternating rounds, and writes benchmark.json.

    Of several workers all measure the run's parts together. The figures are the chief's, and so are all other parts.
    """
    cluster, again = invocation.cluster, f"Measure again with: {invocation.command}"
    with contextlib.ExitStack() as stack:
        if cluster and not cluster.is_chief:
            folder = stack.enter_context(unseen())
        else:
            folder = invocation.folder
            cluster = stack.enter_context(started_workers(cluster, folder, invocation.command, again))
        stack.enter_context(telling_of_lost_workers(cluster, again))
        _measure(settings, invocation.command, folder, cluster)


def _measure(settings: BenchmarkSettings, command: str, folder: RunFolder, cluster: Cluster | None) -> None:
    console = Console()
    dataset = open_dataset(settings.dataset)
    dataset.check()
    trainer = start_tensorflow(settings, folder, cluster)

    from segtrain.benchmarks.measuring import OF_THE_RUN, measure_parts, report_figures
    from segtrain.benchmarks.run_throughput import choose_samples, without_files
    from segtrain.reports.environment import describe_environment
    from segtrain.training.between_workers import require_same_run

    if cluster:
        require_same_run(trainer.strategy, cluster, digests_of_run(settings, data={}, state=None), stays_stopped=True)

    @functools.cache
    def samples():
        augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
        return choose_samples(
            dataset,
            augmentation,
            most=settings.max_samples,
            batch_size=settings.batch_size * settings.accumulate,
            image_size=settings.image_size,
            seed=settings.seed,
        )

    @functools.cache
    def make_run():
        return without_files(build_run(settings, folder, trainer, *samples()))

    def make_single():
        # What is set for the process is set.
        option = settings.trainer | {"strategy": "one", "jit": trainer.jit, "deterministic": False}
        of_one = dataclasses.replace(settings, trainer=option, batch_size=settings.batch_size // trainer.num_replicas)
        return without_files(build_run(of_one, folder, start_tensorflow(of_one, folder), *samples()))

    chosen = settings.measure
    if cluster and not cluster.is_chief:
        chosen = [name for name in chosen if name in OF_THE_RUN]
    figures = measure_parts(chosen, make_run, make_single, settings.rounds, folder, console)
    facts = {
        "rounds": settings.rounds,
        "environment": describe_environment(trainer.strategy),
        "command": command,
    }
    report_figures(figures, facts, chosen, make_run, folder, console)
