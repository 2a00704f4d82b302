"""Images a second of a run's parts and of the whole: the pipeline alone, the bare step, the loop around both."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from segtrain.augmentations.augmentation import Augmentation
from segtrain.benchmarks.alternation import Figure, ratio, seconds_of, take_turns
from segtrain.benchmarks.device import count_flops, measured_peak, peak_memory
from segtrain.datasets.dataset import SegmentationDataset
from segtrain.machine import usable_cores
from segtrain.pipeline.batches import batch_spec, training_batches
from segtrain.pipeline.samples import Samples
from segtrain.training.callbacks.checkpoint import Checkpoint
from segtrain.training.callbacks.display import Display
from segtrain.training.callbacks.pictures import Pictures
from segtrain.training.run import Run
from segtrain.training.trainer import Trainer

TIMED_STEPS = 50
# A round of the run's parts takes seconds, and what it has to tell apart is a few percent: so there are more of them.
PAIRS_PER_ROUND = 3
# A pipeline has no more batches ready when its turn comes.
UNTIMED_STEPS = 2 * usable_cores() + 2
STEPS_PER_ROUND = UNTIMED_STEPS + TIMED_STEPS


def choose_samples(
    dataset: SegmentationDataset, augmentation: Augmentation, *, most: int | None, batch_size: int, **of_run: Any
) -> tuple[Samples, Samples]:
    """Returns as many training samples as a round takes, kept where a run keeps all, and a few to validate.

    Args:
        dataset: the dataset.
        augmentation: the run's.
        most: how many training samples a run would use; all when None.
        batch_size: images of a step.
        **of_run: image size and seed, see `Samples`.
    """
    # Fewer images would fit into memory where all of them do not.
    whole = Samples(dataset, "train", augmentation=augmentation, max_samples=most, **of_run)
    dataset, most = dataclasses.replace(dataset, cache=whole.cache_kind), len(whole)
    del whole  # and the room that its cache would need
    most = min(STEPS_PER_ROUND * batch_size, most)
    training = Samples(dataset, "train", augmentation=augmentation, max_samples=most, **of_run)
    return training, Samples(dataset, "val", max_samples=batch_size, **of_run)


def without_files(run: Run) -> Run:
    """Returns the run with callbacks that write no pictures and checkpoints, and a display that nobody sees."""
    callbacks = [callback for callback in run.callbacks if not isinstance(callback, (Checkpoint, Pictures))]
    unseen = Console(file=StringIO(), force_terminal=True)  # it draws as on a terminal
    display = Display(unseen, run.batch_size * run.trainer.accumulate, run.training.cache_kind)
    return dataclasses.replace(run, callbacks=[*callbacks, display])


def measure_run(run: Run, rounds: int) -> dict[str, Figure]:
    """Trains a few epochs in the run's own loop; after each, the bare step and the bare pipeline take their turns.

    The bare step is compiled without scores and fed one batch over and over; where images keep their own sizes, all
    batches of an epoch, so that it computes on as many pixels as the loop. The first epoch, which compiles and decodes,
    is left out.
    """
    bare_step = run.trainer.compile(
        run.learner.step,
        spec=batch_spec(run.training, run.batch_size),
    )
    batches = list(itertools.islice(run.trainer.batches(lambda _: first_batches(run)), _batches_of_all_sizes(run)))
    # While the pipeline takes its turn, the loop's own fills its buffers up: the step has the machine to itself.
    turns = _Turns({"pipeline": lambda: _pipeline_rate(run), "step": lambda: _step_rate(bare_step, batches, run)}, run)
    run.fit(epochs=PAIRS_PER_ROUND * rounds + 1, callbacks=[*run.callbacks, turns])
    step, loop = turns.figures["step"], turns.figures["loop"]
    flops_per_image = float("nan")
    if run.trainer.num_replicas == 1:
        # Of the graph: the profiler does not look into what XLA has compiled.
        graph = tf.function(run.learner.step)
        # Nearly all of them are of convolutions, which are proportional to the pixels.
        pixels = [labels.shape.num_elements() for _, labels in batches]
        flops_per_image = count_flops(graph, *batches[0]) / run.batch_size * (sum(pixels) / len(pixels) / pixels[0])
    achieved = [flops_per_image * rate for rate in step]
    peak = measured_peak()
    return {
        "pipeline_images_per_second": Figure.of(turns.figures["pipeline"]),
        "step_images_per_second": Figure.of(step),
        "loop_images_per_second": Figure.of(loop),
        "loop_over_step": Figure.of([whole / bare for whole, bare in zip(loop, step, strict=True)]),
        "data_wait": Figure.of(turns.figures["data_wait"]),
        "flops_per_image": Figure.of([flops_per_image]),
        "achieved_flops_per_second": Figure.of(achieved),
        "peak_flops_per_second": Figure.of([peak]),
        "achieved_over_peak": Figure.of([rate / peak for rate in achieved]),
        "peak_memory_bytes": Figure.of([peak_memory()]),
    }


def measure_xla(run: Run, rounds: int) -> dict[str, Figure]:
    """Returns the time of a bare step compiled by XLA as a share of the graph's: what `trainer.jit` chooses between."""
    if run.trainer.num_replicas > 1:
        return {}
    rates = {}
    for name, jit in (("graph", False), ("xla", True)):
        trainer = Trainer(strategy="one", jit=jit, precision=run.trainer.precision)
        step = trainer.compile(run.learner.step)
        rates[name] = functools.partial(_step_rate, step, [next(trainer.batches(lambda _: first_batches(run)))], run)
        rates[name]()  # compiles
    return {"xla_over_graph": ratio(take_turns(rates, rounds), "graph", "xla")}  # of rates: the inverse of times'


class _Turns(keras.callbacks.Callback):
    """Times the epochs of the loop, and has the others take their turns between them.

    An epoch counts from its first batch that was not ready when the others' turns ended, to the end of what the other
    callbacks do after it, without the validation: this callback stands last.
    """

    def __init__(self, others: dict[str, Callable[[], float]], run: Run):
        super().__init__()
        self._others = others
        self._batch_size = run.batch_size * run.trainer.accumulate
        self._timed_steps, self._untimed_steps = _steps(run)
        self.figures: dict[str, list[float]] = {name: [] for name in ("loop", "data_wait", *others)}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._seconds, self._waited, self._start = 0.0, 0.0, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._waited += logs["data_wait"]
        if batch + 1 == self._untimed_steps:
            self._waited, self._start = 0.0, time.perf_counter()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._seconds += time.perf_counter() - self._start

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._seconds += time.perf_counter() - self._start
        taken = {
            "loop": self._timed_steps * self._batch_size / self._seconds,
            "data_wait": self._waited / self._seconds,
        }
        taken |= {name: turn() for name, turn in self._others.items()}
        if epoch > 0:
            for name, figure in taken.items():
                self.figures[name].append(figure)
        # What is timed is not what is learnt: a callback that has seen enough ends a run, not a benchmark.
        self.model.stop_training = False


def _steps(run: Run) -> tuple[int, int]:
    """Returns how many steps of a turn are timed, and how many come before: for as many, batches are ready."""
    steps = run.training.steps_per_epoch(run.batch_size, run.trainer.accumulate)
    untimed = min(UNTIMED_STEPS, steps // 2)
    return steps - untimed, untimed


def _batches_of_all_sizes(run: Run) -> int:
    return 1 if run.training.image_size is not None else run.training.steps_per_epoch(run.batch_size)


def _step_rate(step, batches, run) -> float:
    timed, untimed = _steps(run)
    in_turn = itertools.cycle(batches)
    return timed * run.batch_size / seconds_of(lambda: step(*next(in_turn)), timed, untimed=untimed, wait=float)


def _pipeline_rate(run) -> float:
    timed, untimed = _steps(run)
    batches = iter(training_batches(run.training, batch_size=run.batch_size, num_parts=1, first_epoch=1, last_epoch=2))
    return timed * run.batch_size / seconds_of(lambda: next(batches), timed, untimed=untimed)


def first_batches(run: Run) -> tf.data.Dataset:
    """Returns the batches of the first epoch, divided among the replicas."""
    return training_batches(
        run.training,
        batch_size=run.batch_size,
        num_parts=run.trainer.num_replicas,
        first_epoch=0,
        last_epoch=1,
    )
