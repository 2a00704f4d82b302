"""What the workers of a run tell each other beside what they train."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from segtrain.run_folder import written_whole
from segtrain.training.cluster import Cluster, describe

# Of what workers send each other at once: a state may be larger than the memory that training leaves on a device.
BYTES_OF_PIECE = 16_000_000


def require_same_run(strategy: Any, cluster: Cluster, digests: Mapping[str, bytes], stays_stopped: bool) -> bool:
    """Compares what the workers are about to do. All have to call it, as the first thing they do together.

    Args:
        strategy: of `join_cluster`.
        cluster: the workers.
        digests: hashes, 32 bytes each, of what has to be the same, by its name.
        stays_stopped: see `Trainer.fit`. By the time that another worker reads the run's config the chief may have
            written what was typed to be changed, so that only the chief knows of changes.

    Returns:
        The chief's `stays_stopped`.

    Raises:
        ValueError: which worker differs from the chief.
    """
    numbers = [np.frombuffer(digest, np.int32) for digest in digests.values()]
    own = tf.constant(np.concatenate([*numbers, [np.int32(stays_stopped)]])[None])
    every = strategy.gather(strategy.experimental_distribute_values_from_function(lambda _: own), axis=0).numpy()
    of_workers = every.reshape(len(cluster.addresses), -1, every.shape[1])[:, 0]
    differs = (of_workers != of_workers[0])[:, :-1].reshape(len(of_workers), len(digests), -1).any(axis=2)
    told = [
        f"{describe(cluster, index)} has another {' and another '.join(itertools.compress(digests, row))}"
        for index, row in enumerate(differs)
        if row.any()
    ]
    if told:
        raise ValueError(f"{', '.join(told)} than the chief. Start all workers with the same command, data and code.")
    return bool(of_workers[0, -1])


def file_of_chief(strategy: Any, path: Path) -> Path:
    """Gives every worker the chief's file: a signal or the clock may have saved the chief's state and not another's.

    All have to call it. Where one process trains alone it does nothing.

    Args:
        strategy: over the devices of all workers.
        path: the worker's own file.

    Returns:
        The path of a file that holds what the chief's does, beside the worker's own.
    """
    resolver = strategy.cluster_resolver
    if resolver is None:
        return path
    is_chief = resolver.task_id == 0
    content = path.read_bytes() if is_chief else b""
    (size,) = _sum_of_chief(strategy, is_chief, np.array([len(content)], np.int64))
    if is_chief:
        for start in range(0, size, BYTES_OF_PIECE):
            _sum_of_chief(strategy, is_chief, _words(content[start : start + BYTES_OF_PIECE]))
        return path
    with written_whole(path, size) as temporary, temporary.open("wb") as file:
        for start in range(0, size, BYTES_OF_PIECE):
            left = min(BYTES_OF_PIECE, size - start)
            file.write(_sum_of_chief(strategy, is_chief, _words(bytes(left))).tobytes()[:left])
    return path


def _words(content: bytes) -> np.ndarray:
    # Collectives know of numbers of four bytes, and no bytes.
    return np.frombuffer(content + bytes(-len(content) % 4), np.int32)


def _sum_of_chief(strategy, is_chief, numbers):
    """Returns the chief's numbers: the sum of them and of nothing. All have to call it, with as many numbers."""
    nothing = np.zeros_like(numbers)
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(nothing if context.replica_id_in_sync_group or not is_chief else numbers)
    )
    return strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None).numpy()
