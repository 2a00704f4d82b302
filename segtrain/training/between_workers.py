"""What the workers of a run tell each other beside what they train."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from segtrain.run_folder import written_whole
from segtrain.training.cluster import Cluster, describe


def require_same_run(strategy: Any, cluster: Cluster, digest: bytes, stays_stopped: bool) -> bool:
    """Compares what the workers are about to do. All have to call it, as the first thing they do together.

    Args:
        strategy: of `join_cluster`.
        cluster: the workers.
        digest: hash of whatever has to be the same.
        stays_stopped: see `Trainer.fit`. By the time that another worker reads the run's config the chief may have
            written what was typed to be changed, so that only the chief knows of changes.

    Returns:
        The chief's `stays_stopped`.

    Raises:
        ValueError: which worker differs from the chief.
    """
    own = tf.constant(np.append(np.frombuffer(digest, np.int32), np.int32(stays_stopped))[None])
    every = strategy.gather(strategy.experimental_distribute_values_from_function(lambda _: own), axis=0).numpy()
    of_workers = every.reshape(len(cluster.addresses), -1, every.shape[1])[:, 0]
    other = [describe(cluster, index) for index, row in enumerate(of_workers) if (row != of_workers[0])[:-1].any()]
    if other:
        raise ValueError(
            f"{', '.join(other)}: another config, other data or another version of segtrain than the chief's. Start "
            "all workers with the same command and the same code."
        )
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
    content = b""
    if resolver.task_id == 0:
        content = path.read_bytes()
        content = struct.pack("<q", len(content)) + content + bytes(-len(content) % 4)
    # Collectives know of numbers of four bytes, and no bytes.
    words, nothing = np.frombuffer(content, np.int32), np.zeros(0, np.int32)
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(nothing if context.replica_id_in_sync_group else words)
    )
    received = strategy.gather(shares, axis=0).numpy().tobytes()
    (size,) = struct.unpack_from("<q", received)
    if resolver.task_id == 0:
        return path
    with written_whole(path, size) as temporary:
        temporary.write_bytes(received[8 : 8 + size])
    return path
