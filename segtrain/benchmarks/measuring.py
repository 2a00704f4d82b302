"""The parts of a benchmark, one after another, and what is said of them."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from segtrain.benchmarks.alternation import Figure
from segtrain.benchmarks.disk_cache import measure_disk_cache
from segtrain.benchmarks.exchange import measure_exchange, terms_of
from segtrain.benchmarks.input_pipelines import measure_input_pipelines
from segtrain.benchmarks.networks import measure_networks
from segtrain.benchmarks.pooling_pair import measure_pooling_pair
from segtrain.benchmarks.report import as_dict, as_table
from segtrain.benchmarks.run_throughput import measure_run, measure_xla
from segtrain.benchmarks.start_up import measure_start_up
from segtrain.pipeline.resizing import describe_size
from segtrain.pipeline.verdict import describe_data_wait
from segtrain.quiet_start import native_messages_to
from segtrain.reports.scaling_page import write_scaling_page
from segtrain.reports.terminal import print_line
from segtrain.run_folder import RunFolder
from segtrain.training.run import Run

OF_THE_RUN = {"run", "xla", "exchange"}
AGAINST_TORCH = {"networks", "pipelines"}


def measure_parts(
    chosen: Sequence[str],
    make_run: Callable[[], Run],
    make_single: Callable[[], Run],
    rounds: int,
    folder: RunFolder,
    console: Console,
) -> dict[str, Figure]:
    """Measures the chosen parts and prints which is under way; benchmark.json has what is measured as it goes.

    Args:
        chosen: names of parts.
        make_run: makes the run, or returns it where it is made.
        make_single: makes the run on one device, with the batch of one replica.
        rounds: of each part.
        folder: where to.
        console: where stages are shown.
    """
    figures: dict[str, Figure] = {}
    with folder.log.open("a", encoding="utf-8") as log:
        # First the run's own parts, so that its peak memory is that of nothing else.
        parts = {
            "run": lambda: measure_run(make_run(), rounds),
            "xla": lambda: measure_xla(make_run(), rounds),
            "exchange": lambda: measure_exchange(make_run(), make_single, rounds),
            "pooling_pair": lambda: measure_pooling_pair(rounds),
            "networks": lambda: measure_networks(rounds, log),
            "pipelines": lambda: measure_input_pipelines(rounds, log),
            "disk_cache": lambda: measure_disk_cache(rounds),
            "start_up": lambda: measure_start_up(rounds, log),
        }
        names = [name for name in parts if name in chosen]
        for number, name in enumerate(names, 1):
            stage = f"measuring {name} ({number} of {len(names)}, {rounds} rounds)"
            if not console.is_terminal:
                console.print(stage, highlight=False)
            try:
                with console.status(stage), native_messages_to(folder.log):
                    figures |= parts[name]()
            except Exception:
                if figures:
                    console.print(as_table(figures, f"before {name} failed"))
                raise
            folder.write_benchmark(as_dict(figures))  # what has been measured stays if the next part fails
    return figures


def report_figures(
    figures: Mapping[str, Figure],
    facts: dict[str, Any],
    chosen: Sequence[str],
    make_run: Callable[[], Run],
    folder: RunFolder,
    console: Console,
) -> None:
    """Prints the table and what the figures mean, and writes benchmark.json.

    Args:
        figures: what was measured.
        facts: what stands beside them in benchmark.json; `rounds` is among them.
        chosen: names of the parts that were measured.
        make_run: returns the run, where its parts are among them.
        folder: where to.
        console: where to print.
    """
    title = f"{facts['rounds']} rounds"
    if OF_THE_RUN & set(chosen):
        run = make_run()
        dataset, image_size = run.training.dataset, run.training.image_size
        facts = facts | {
            "model": run.model.name,
            "dataset": dataset.name,
            "image_size": image_size,
            "batch_size": run.batch_size,
            "replicas": run.trainer.num_replicas,
        }
        size = describe_size(image_size, dataset.resize)
        title = f"{run.model.name} on {dataset.name}, {size}, batch {run.batch_size}, {title}"
    if figures:
        console.print(as_table(figures, title))
    if "data_wait" in figures:
        cache_kind = make_run().training.cache_kind
        facts = facts | {"verdict": describe_data_wait(figures["data_wait"].median, cache_kind, first_epoch=False)}
        console.print(facts["verdict"], highlight=False)
    if AGAINST_TORCH & set(chosen) and not importlib.util.find_spec("torch"):
        console.print("PyTorch is not installed, so nothing was compared with it. To do so: pip install torch")
    if "exchange.seconds" in figures:
        terms = terms_of(figures, facts["batch_size"] // facts["replicas"])
        write_scaling_page(folder.scaling_page, terms, as_dict(figures)["exchange"], facts)
        print_line(console, f"scaling {folder.scaling_page}")
    elif "exchange" in chosen:
        print_line(
            console,
            "One device exchanges nothing. To measure what several do, type trainer.strategy=mirrored "
            "trainer.logical_cpus=2 on a CPU, or trainer.strategy=mirrored where there are several GPUs.",
        )
    folder.write_benchmark(as_dict(figures) | facts)
    print_line(console, f"figures {folder.benchmark}")
