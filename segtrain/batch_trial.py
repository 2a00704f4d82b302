"""Trains two steps in a process of its own, to see whether memory lasts: `python -m segtrain.batch_trial`.

Standard input has the settings, a folder for what it writes, and the bytes it may take, as JSON. The exit status says
whether memory lasted; a signal says that it did not.
"""

import dataclasses
import errno
import json
import os
import resource
import sys

from segtrain.out_of_memory import OutOfMemoryError, tells_of_memory
from segtrain.parts import build_run, open_splits, start_tensorflow
from segtrain.run_folder import RunFolder
from segtrain.settings import TrainSettings
from segtrain.starting_weights import reading_weights

DOES_NOT_FIT = 9
STEPS = 2


def limit_memory(num_bytes: int) -> None:
    """Has memory end for this process where it does, at the latest, so that no other process is killed for it."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = num_bytes if most == resource.RLIM_INFINITY else min(num_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


@tells_of_memory
def try_batch(settings: TrainSettings, folder: RunFolder) -> None:
    """Trains and validates as a run does, on as many images as make two steps."""
    num_images = STEPS * settings.batch_size * settings.accumulate
    if settings.max_samples is not None:
        num_images = min(num_images, settings.max_samples)
    settings = dataclasses.replace(settings, max_samples=num_images, epochs=1, callbacks={})
    training, validation = open_splits(settings)
    trainer = start_tensorflow(settings, folder)
    with reading_weights(False):
        run = build_run(settings, folder, trainer, training, validation)
    run.fit(epochs=1, callbacks=[])


def main() -> None:
    told = json.load(sys.stdin)
    limit_memory(told["bytes"])
    try:
        try_batch(TrainSettings(**told["settings"]), RunFolder(told["folder"]))
    except Exception as error:
        if tells_of_want(error):
            os._exit(DOES_NOT_FIT)  # at once: there is no memory to end in order
        sys.exit(str(error))


def tells_of_want(error: Exception) -> bool:
    """Returns whether an error says that there is no memory: for tensors, files or threads."""
    is_no_memory = isinstance(error, OutOfMemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    return is_no_memory or "can't start new thread" in str(error)


if __name__ == "__main__":
    main()
