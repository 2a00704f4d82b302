"""Which devices a run uses, what differs between them, and sums over them."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, Literal

import keras
import tensorflow as tf

from segtrain.training.meeting import join_cluster

StrategyChoice = Literal["auto", "one", "mirrored", "multiworker"]


def choose_strategy(choice: StrategyChoice, wait_for_workers: float = 300.0) -> tf.distribute.Strategy:
    """Returns the strategy that `choice` names; `auto` mirrors over the GPUs where there are several.

    Args:
        choice: see `Trainer`.
        wait_for_workers: seconds to wait for the others, with `multiworker`.

    Raises:
        ValueError: `mirrored` with fewer than two devices, or `multiworker` whose workers do not come together.
    """
    if choice == "multiworker":
        return join_cluster(wait_for_workers)
    gpus = tf.config.list_logical_devices("GPU")
    if choice == "one" or (choice == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        on_processor = "" if gpus else ", or to try it on the processor add trainer.logical_cpus=2"
        raise ValueError(
            f"trainer.strategy=mirrored needs at least 2 devices. Received: {[device.name for device in devices]}. "
            f"Use trainer.strategy=one{on_processor}."
        )
    return _mirrored(tuple(device.name for device in devices))


def divide_cpu(devices: int) -> None:
    """Has the processor show itself as so many devices, which share its cores.

    Raises:
        ValueError: TensorFlow uses it already, as another number.
    """
    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    except RuntimeError as error:
        found = len(tf.config.list_logical_devices("CPU"))
        if found != devices:
            raise ValueError(
                f"trainer.logical_cpus has to be the same for all runs of a process. Received: {devices}, after "
                f"{found}. Start them one by one, or add sweep.own_process=true."
            ) from error


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    # One for all runs of a process: two strategies over the same devices number their collectives alike, and a sum of
    # the one then waits for a tensor of the other.
    return tf.distribute.MirroredStrategy(list(devices))


def pays_to_compile(num_replicas: int) -> bool:
    """Returns whether XLA is the faster way on these devices: on a single GPU.

    On CPUs it makes whole networks slower, because convolutions leave oneDNN; `segtrain benchmark` shows by how much.
    Over several devices TensorFlow does not compile a step that updates variables.
    """
    return num_replicas == 1 and bool(tf.config.list_logical_devices("GPU"))


def sum_over_replicas(value: Any) -> Any:
    """Returns the sum of `value` over all replicas when called inside `strategy.run`, else `value`."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def variable_of_sums(zeros: Any) -> tf.Variable:
    """Returns a variable for what is summed over all replicas before it is added: each replica has all of it.

    So each worker of several can read it, and write it to a file, without the others.
    """
    return tf.Variable(
        zeros,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def variable_of_shares(zeros: Any) -> tf.Variable:
    """Returns a variable of which each replica has its own, to be summed over all when it is read outside of them."""
    return tf.Variable(
        zeros,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


def join_replicas(model: keras.Model) -> None:
    """Has BatchNorm compute its statistics over all replicas: else each keeps running averages of its own. Has dropout
    draw for each replica.
    """
    for layer in _layers_of(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        elif isinstance(getattr(layer, "seed_generator", None), keras.random.SeedGenerator):
            draw_by_replica(layer.seed_generator)


@contextlib.contextmanager
def as_of_one_device(model: keras.Model) -> Iterator[None]:
    """Has BatchNorm be that of one device meanwhile, for a file that is used elsewhere: it trains there faster, and at
    all where Keras runs on JAX or PyTorch."""
    joined = [
        layer
        for layer in _layers_of(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.synchronized
    ]
    for layer in joined:
        layer.synchronized = False
    try:
        yield
    finally:
        for layer in joined:
            layer.synchronized = True


def _layers_of(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Returns its layers, and in place of networks among them theirs."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers_of(layer)
        else:
            yield layer


def draw_by_replica(generator: keras.random.SeedGenerator) -> None:
    """Has a layer's random numbers differ between replicas, which have one random state: it stays the same for all."""
    draw = generator.next

    def next_of_replica(*args, **kwargs):
        seed = draw(*args, **kwargs)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        # Of the state's two numbers the second one counts the draws: shifting it would give a later step's numbers.
        replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([replica, tf.zeros_like(replica)])

    generator.next = next_of_replica
