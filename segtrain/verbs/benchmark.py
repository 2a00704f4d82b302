"""Times what a run consists of."""

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
    def make_run():
        augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
        training, validation = choose_samples(
            dataset,
            augmentation,
            most=settings.max_samples,
            batch_size=settings.batch_size * settings.accumulate,
            image_size=settings.image_size,
            seed=settings.seed,
        )
        return without_files(build_run(settings, folder, trainer, training, validation))

    figures = measure_parts(settings.measure, make_run, settings.rounds, folder, console)
    facts = {
        "rounds": settings.rounds,
        "environment": describe_environment(trainer.strategy),
        "command": invocation.command,
    }
    report_figures(figures, facts, settings.measure, make_run, folder, console)
