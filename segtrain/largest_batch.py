"""Finds the largest batch that memory lasts for, by training a little with each it tries. Imports no TensorFlow."""

import dataclasses
import json
import resource
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from segtrain.batch_trial import DOES_NOT_FIT
from segtrain.machine import free_memory
from segtrain.own_process import python_for
from segtrain.pipeline.samples import Samples
from segtrain.reports.terminal import print_line
from segtrain.run_folder import RunFolder, write_text
from segtrain.settings import TrainSettings

# Of what is free, what a trial may take: two steps do not show all that a run will ever hold.
SHARE_OF_FREE_MEMORY = 0.9


def with_largest_batch(
    settings: TrainSettings, config: DictConfig, data: tuple[Samples, Samples], folder: RunFolder
) -> TrainSettings:
    """Returns the settings with the largest batch size that fits, where they ask for it, and as they are elsewhere.

    What is found stands in the run's config.yaml from then on: enough to run again, with the same numbers on another
    machine. A run that is killed while it searches does so again when it goes on.

    Args:
        settings: of the run.
        config: the same as composed; changed alike.
        data: its training and validation samples.
        folder: its folder.
    """
    if not settings.trainer.get("find_batch_size"):
        return settings
    batch_size = find_batch_size(settings, *data, Console())
    OmegaConf.update(config, "batch_size", batch_size)
    OmegaConf.update(config, "trainer.find_batch_size", False)
    write_text(folder.config, OmegaConf.to_yaml(config))
    return dataclasses.replace(settings, batch_size=batch_size)


def find_batch_size(settings: TrainSettings, training: Samples, validation: Samples, console: Console) -> int:
    """Returns the largest batch size that fits, and tells what was tried.

    Each is tried in a process of its own, which trains two steps and validates. It may take what is free in memory less
    what decoded images will take, or on GPUs what they have.

    Args:
        settings: of the run; its batch size is tried first, less what the devices cannot share evenly.
        training: its training samples; no batch is larger than they are.
        validation: its validation samples.
        console: where to tell.

    Raises:
        ValueError: not even the smallest batch fits, or a trial failed for another reason.
    """
    limit = int(SHARE_OF_FREE_MEMORY * _room_of_a_process()) - training.bytes_in_memory - validation.bytes_in_memory
    if limit <= 0:
        raise ValueError(
            "trainer.find_batch_size=true: decoded images would take all the memory there is. "
            "Type dataset.cache=disk, or none."
        )
    failed: list[int] = []

    def fits(batch_size: int) -> bool:
        with console.status(f"trying batch_size={batch_size}"):
            does_fit = run_trial(dataclasses.replace(settings, batch_size=batch_size), limit)
        if not does_fit:
            failed.append(batch_size)
        print_line(console, f"batch_size={batch_size} {'fits' if does_fit else 'does not fit'}")
        return does_fit

    with console.status("counting devices"):
        multiple = count_replicas(settings)
    most = len(training) // settings.accumulate
    if most < multiple:
        raise ValueError(
            f"trainer.find_batch_size=true: {len(training)} training images are too few for a step of "
            f"{settings.accumulate} batches on {multiple} devices. Type trainer.strategy=one, or trainer.accumulate=1."
        )
    found = largest_that_fits(fits, start=settings.batch_size, multiple=multiple, most=most)
    if not found:
        raise ValueError(
            f"trainer.find_batch_size=true: not even batch_size={multiple} fits into {limit / 2**30:.1f} GiB. Use a "
            "smaller image_size or model, or trainer.precision=mixed_bfloat16."
        )
    bound = f"{min(failed)} does not fit" if failed else "the training split has no more for a step"
    follows = settings.optimizer.get("reference_batch_size")
    rate = "" if follows else f". optimizer.learning_rate={settings.optimizer['learning_rate']:g} is left as it is"
    print_line(console, f"trains with batch_size={found}: {bound}{rate}")
    return found


def count_replicas(settings: TrainSettings) -> int:
    """Returns the number of devices that a batch is divided among, as a process finds that only looks.

    Raises:
        ValueError: they cannot be had.
    """
    status, answer, said = _run("segtrain.device_count", settings)
    if status != 0:
        raise ValueError(f"trainer.find_batch_size=true, counting devices: {_last_line(status, said)}")
    return int(answer)


def run_trial(settings: TrainSettings, limit: int) -> bool:
    """Tries a batch size in a process of its own. Returns whether it fits.

    Args:
        settings: with the batch size.
        limit: bytes that the process may take.

    Raises:
        ValueError: it failed, and not for want of memory.
    """
    status, _, said = _run("segtrain.batch_trial", settings, bytes=limit)
    if status > 0 and status != DOES_NOT_FIT:
        raise ValueError(
            f"trainer.find_batch_size=true, trying batch_size={settings.batch_size}: {_last_line(status, said)}"
        )
    return status == 0


def _run(module: str, settings: TrainSettings, **told: Any) -> tuple[int, str, str]:
    """Runs a module on settings and a folder that goes with it; returns its status and both outputs."""
    told["settings"] = dataclasses.asdict(settings)
    command, environment = python_for(module)
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            outputs = process.communicate(json.dumps(told | {"folder": folder}))
        finally:
            process.kill()  # where this one is interrupted
    return process.returncode, *outputs


def _last_line(status: int, said: str) -> str:
    return (said.strip().splitlines() or [f"it ended with status {status}"])[-1]


def largest_that_fits(fits: Callable[[int], bool], *, start: int, multiple: int, most: int) -> int:
    """Returns the largest multiple of `multiple`, up to `most`, that fits, or one that is less by a sixteenth at most.

    It doubles until one does not fit, and then halves the gap.

    Args:
        fits: whether a size does; if one does, so do the smaller ones.
        start: what to try first.
        multiple: what it has to be a multiple of.
        most: an upper bound.

    Returns:
        The size; 0 where none fits.
    """
    fitting, failing = 0, most - most % multiple + multiple
    size = start
    while failing - fitting > max(multiple, fitting // 16):
        size = max(multiple, min(size - size % multiple, failing - multiple))
        if fits(size):
            fitting = size
        else:
            failing = size
        size = 2 * size if failing > most else (fitting + failing) // 2
    return fitting


def _room_of_a_process() -> int:
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
    return min([free_memory(), *(limit for limit in limits if limit != resource.RLIM_INFINITY)])
