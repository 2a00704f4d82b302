"""Times what a run consists of."""

import dataclasses
import functools

from rich.console import Console

from segtrain.instantiate import build
from segtrain.parts import build_run, open_dataset, start_tensorflow
from segtrain.settings import BenchmarkSettings
from segtrain.verbs.invocation import Invocation


def benchmark(settings: BenchmarkSettings, invocation: Invocation) -> None:
    """Times a run's parts and what segtrain claims of itself, in alternating rounds, and writes benchmark.json."""
    folder, console = invocation.folder, Console()
    dataset = open_dataset(settings.dataset)
    dataset.check()
    trainer = start_tensorflow(settings, folder)

    from segtrain.benchmarks.measuring import measure_parts, report_figures
    from segtrain.benchmarks.run_throughput import choose_samples, without_files
    from segtrain.reports.environment import describe_environment

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

    figures = measure_parts(settings.measure, make_run, make_single, settings.rounds, folder, console)
    facts = {
        "rounds": settings.rounds,
        "environment": describe_environment(trainer.strategy),
        "command": invocation.command,
    }
    report_figures(figures, facts, settings.measure, make_run, folder, console)
