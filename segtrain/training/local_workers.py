"""Starts a run's other workers on this machine, and ends them with it. Imports no TensorFlow."""

import contextlib
import dataclasses
import os
import shlex
import subprocess
import threading
from collections.abc import Iterator

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd

from segtrain.own_process import python_for
from segtrain.run_folder import RunFolder
from segtrain.training.cluster import Cluster, describe, free_addresses
from segtrain.training.scratch_folder import clear_left_behind
from segtrain.training.signals import leave

SECONDS_BETWEEN_LOOKS = 0.2
# For a run whose workers all refuse to train to say why itself.
SECONDS_TO_SAY_WHY = 10.0


@contextlib.contextmanager
def started_workers(
    cluster: Cluster | None, folder: RunFolder, command: str, how_to_go_on: str
) -> Iterator[Cluster | None]:
    """Runs the workers beside the chief, where the chief starts them; ends the chief if one of them dies.

    What a worker prints goes to `segtrain.worker-1.log` in the run's folder.

    Args:
        cluster: the workers.
        folder: the run's folder.
        command: the chief's command line.
        how_to_go_on: a sentence for the user.

    Yields:
        The workers, at the addresses that those which were started here listen at.
    """
    if cluster is None or not cluster.starts_others:
        yield cluster
        return
    # Those that were free when the command line was checked may not be any more.
    cluster = dataclasses.replace(cluster, addresses=free_addresses(len(cluster.addresses)))
    os.environ["TF_CONFIG"] = cluster.tf_config(0)
    with contextlib.ExitStack() as stack:
        stack.callback(os.environ.pop, "TF_CONFIG", None)
        workers: dict[int, subprocess.Popen] = {}
        stack.callback(_end, workers)
        ended = threading.Event()
        stack.callback(ended.set)
        for index in range(1, len(cluster.addresses)):
            log = stack.enter_context((folder.path / f"segtrain.worker-{index}.log").open("ab"))
            python, environment = python_for("segtrain")
            workers[index] = subprocess.Popen(
                [*python, *shlex.split(command)[1:], "trainer.workers=null"],  # TF_CONFIG names them
                env=environment | {"TF_CONFIG": cluster.tf_config(index)},
                # Paths that were typed are from there: the chief may have gone to the run's folder.
                cwd=get_original_cwd() if HydraConfig.initialized() else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the chief, which ends the others
            )

        def watch():
            while not ended.wait(SECONDS_BETWEEN_LOOKS):
                dead = [index for index, worker in workers.items() if worker.poll()]
                if not dead:
                    continue
                status = workers[dead[0]].returncode
                if status > 0 and ended.wait(SECONDS_TO_SAY_WHY):
                    return
                how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
                log = folder.path / f"segtrain.worker-{dead[0]}.log"
                who = describe(cluster, dead[0])
                _end(workers)
                if ended.is_set():
                    return  # the chief has seen it itself, and says so
                leave(1, f"segtrain: error: {who} has died ({how}; see {log}). {how_to_go_on}\n")

        threading.Thread(target=watch, daemon=True).start()
        yield cluster


def _end(workers: dict[int, subprocess.Popen]) -> None:
    # At once: they keep nothing, and one that waits for the others' sums heeds no other signal.
    for worker in workers.values():
        worker.kill()
    for worker in workers.values():
        worker.wait()
    clear_left_behind()
