"""What replicas exchange in a training step, and what it costs them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from segtrain.benchmarks.alternation import Figure, ratio, seconds_of, take_turns
from segtrain.benchmarks.run_throughput import first_batches
from segtrain.benchmarks.scaling import StepTerms, ring_bytes
from segtrain.training.replicas import join_replicas, variable_of_shares
from segtrain.training.run import Run
from segtrain.training.tally import Tally

STEPS_PER_TURN = 5
ALL_REDUCES = ("CollectiveReduce", "CollectiveReduceV2", "CollectiveReduceV3", "NcclAllReduce")


def measure_exchange(run: Run, make_single: Callable[[], Run], rounds: int) -> dict[str, Figure]:
    """Times a step of all replicas, the step's all-reduces alone, and two steps of one device with a replica's batch:
    as it trains by itself, and as a replica computes it, whose BatchNorm is not TensorFlow's fused kernel.

    The all-reduces are timed by themselves, on tensors of the same sizes. A step that leaves them out would not do:
    BatchNorm's are in the midst of the network, and the library's optimizers add gradients up themselves. In a step
    replicas also wait for the slowest of them at each all-reduce; that is none of what they take alone.

    Args:
        run: on several replicas; nothing is measured where it has one.
        make_single: makes the run's twin: on one device, with the batch of one replica.
        rounds: how often each takes its turn.

    Raises:
        ValueError: a step of the run adds several batches up.
    """
    replicas = run.trainer.num_replicas
    if replicas == 1:
        return {}
    if run.trainer.accumulate > 1:
        raise ValueError(
            f"measure=[exchange] times a step of one batch. Received: trainer.accumulate={run.trainer.accumulate}. "
            "Type trainer.accumulate=1, or measure=[run] without it."
        )
    step = compile_step(run)
    batch = first_batch(run)
    tensors = all_reduced(step.get_concrete_function(*batch).graph)
    packs = gradient_packs(tensors, run.model)
    single = make_single()
    single_batch = first_batch(single)
    single_step, replica_step = compile_single(single, single_batch)
    alone = compile_all_reduces(run.trainer.strategy, tensors)
    contenders = {
        "replicas": lambda: _seconds_a_step(lambda: step(*batch)),
        "single": lambda: _seconds_a_step(lambda: single_step(*single_batch)),
        "compute": lambda: _seconds_a_step(lambda: replica_step(*single_batch)),
        "exchange": lambda: _seconds_a_step(alone),
    }
    for compiles in contenders.values():
        compiles()
    seconds = take_turns(contenders, rounds)
    counts = count_bytes(tensors, packs)
    total = sum(counts.values())
    rates = [run.batch_size / each for each in seconds["replicas"]]
    figures = {
        "images_per_second": Figure.of(rates),
        "images_per_second_per_replica": Figure.of([rate / replicas for rate in rates]),
        "single_images_per_second": Figure.of([single.batch_size / each for each in seconds["single"]]),
        "replica_over_single": ratio(seconds, "single", "replicas"),  # of times: the inverse of rates'
        "compute_seconds": Figure.of(seconds["compute"]),
        "bytes_per_step": _exactly(total),
        "gradient_bytes": _exactly(counts["gradients"]),
        "statistics_bytes": _exactly(counts["statistics"]),
        "scalar_bytes": _exactly(counts["scalars"]),
        "sent_bytes_per_device": _exactly(ring_bytes(total, replicas)),
        "all_reduces": _exactly(len(tensors)),
        "gradient_all_reduces": _exactly(len(packs)),
        "seconds": Figure.of(seconds["exchange"]),
        "share": ratio(seconds, "exchange", "replicas"),
    }
    return {f"exchange.{name}": figure for name, figure in figures.items()}


def terms_of(figures: Mapping[str, Figure], images: int) -> StepTerms:
    """Returns the terms of a prediction.

    Args:
        figures: of `measure_exchange`.
        images: of a replica's batch.
    """

    def median(name):
        return figures[f"exchange.{name}"].median

    return StepTerms(
        images=images,
        single_seconds=images / median("single_images_per_second"),
        compute_seconds=median("compute_seconds"),
        gradient_bytes=median("gradient_bytes"),
        gradient_sums=median("gradient_all_reduces"),
        waited_bytes=median("statistics_bytes") + median("scalar_bytes"),
        waited_sums=median("all_reduces") - median("gradient_all_reduces"),
    )


def all_reduced(graph: tf.Graph) -> list[tf.TensorSpec]:
    """Returns the tensors that one device hands to all-reduces in a compiled step, in the graph's order."""
    operations = [each for each in graph.get_operations() if each.type in ALL_REDUCES]
    return [
        tf.TensorSpec(each.inputs[0].shape, each.inputs[0].dtype)
        for each in operations
        if each.device == operations[0].device
    ]


def gradient_packs(tensors: Sequence[tf.TensorSpec], model: Any) -> list[tf.TensorSpec]:
    """Returns those of the tensors that are gradients: TensorFlow packs them into one, or two where they are clipped.

    A pack may lack what has no gradient. No statistics are as large: of each channel there are a scale and an offset.

    Raises:
        RuntimeError: there is no pack, so the step exchanges gradients out of sight.
    """
    weights = sum(variable.shape.num_elements() for variable in model.trainable_variables)
    packs = [tensor for tensor in tensors if weights / 2 < tensor.shape.num_elements() <= weights]
    if not packs:
        sizes = [tensor.shape.num_elements() for tensor in tensors]
        raise RuntimeError(f"no all-reduce has the gradients of {weights} weights. There are those of {sizes} numbers.")
    return packs


def count_bytes(tensors: Sequence[tf.TensorSpec], packs: Sequence[tf.TensorSpec]) -> dict[str, int]:
    """Returns how many bytes of the tensors are gradients, single numbers, and statistics: all others.

    Statistics are BatchNorm's and the scores' counts of pixels.
    """
    total, gradients = (sum(map(_num_bytes, each)) for each in (tensors, packs))
    scalars = sum(_num_bytes(tensor) for tensor in tensors if tensor.shape.num_elements() == 1)
    return {"gradients": gradients, "statistics": total - scalars - gradients, "scalars": scalars}


def compile_all_reduces(strategy: tf.distribute.Strategy, tensors: Sequence[tf.TensorSpec]) -> Callable[[], Any]:
    """Returns a function that sums tensors of these shapes and types over the replicas, and returns a number."""
    with strategy.scope():
        # On each device its own, there before the clock starts.
        values = [variable_of_shares(tf.zeros(tensor.shape, tensor.dtype)) for tensor in tensors]

    def replica():
        context = tf.distribute.get_replica_context()
        sums = [context.all_reduce(tf.distribute.ReduceOp.SUM, value.read_value()) for value in values]
        return tf.add_n([tf.cast(tf.reshape(each, [-1])[0], tf.float32) for each in sums])

    @tf.function
    def run():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(replica), axis=None)

    return run


def compile_step(run: Run) -> Callable[[Any, Any], Any]:
    """Returns the step that the loop takes, which counts scores too."""
    trainer, dataset = run.trainer, run.training.dataset
    trainer.prepare_layers(run.model)
    with trainer.scope():
        run.optimizer.build(run.model.trainable_variables)
        tally = Tally(dataset.num_classes, dataset.ignore_label)
    return trainer.compile(run.learner.step, tally)


def compile_single(single: Run, batch: tuple[Any, Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns the step of one device as it trains by itself, and as a replica computes it."""
    by_itself = compile_step(single)
    by_itself.get_concrete_function(*batch)  # traced while the network is that of one device
    join_replicas(single.model)
    return by_itself, compile_step(single)


def first_batch(run: Run) -> tuple[Any, Any]:
    return next(run.trainer.batches(lambda _: first_batches(run)))


def _seconds_a_step(step: Callable[[], Any]) -> float:
    return seconds_of(step, STEPS_PER_TURN, untimed=1, wait=float) / STEPS_PER_TURN


def _num_bytes(tensor: tf.TensorSpec) -> int:
    return tensor.shape.num_elements() * tensor.dtype.size


def _exactly(value: float) -> Figure:
    return Figure(value, value, value)
