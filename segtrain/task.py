"""Does what a verb says, and tells what went wrong in a line: Hydra calls it for a run, and for each job of a sweep."""

import contextlib
import gc
import importlib
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from segtrain.command.hydra_errors import one_line
from segtrain.out_of_memory import OutOfMemoryError
from segtrain.prediction.unreadable import UnreadableFilesError
from segtrain.resumption import Resumption
from segtrain.run_folder import RunFolder
from segtrain.settings import SCHEMAS, read_settings
from segtrain.training.cluster import Cluster
from segtrain.training.signals import Interrupted
from segtrain.verbs.invocation import Invocation

# How mistakes in data and settings are told: in words for whoever made them.
MISTAKES = (ValueError, TypeError, OSError, FloatingPointError, OutOfMemoryError)
STATUS_OF_UNREADABLE_FILES = 3
STATUS_OF_INTERRUPT = 130


def run_task(
    *,
    verb: str,
    command: str,
    allow_targets: list[str],
    goes_on: bool,
    config: DictConfig,
    resumption: Resumption | None = None,
    cluster: Cluster | None = None,
) -> Any:
    """Does what the verb says, in the folder Hydra made.

    Args:
        verb: the verb.
        command: the command line as typed.
        allow_targets: what was typed of that name.
        goes_on: a job of a sweep that was begun before.
        config: as composed.
        resumption: how a run goes on, where the verb is resume.
        cluster: the workers that train the run together, if several do.

    Returns:
        What a sweep compares.
    """
    hydra_config = HydraConfig.get()
    # Importing TensorFlow and tracing a network make millions of objects that stay; looking through them for garbage
    # every few hundred is a tenth of the time to the first step.
    gc.set_threshold(100_000, 20, 100)
    try:
        settings = read_settings(config, SCHEMAS[verb], allow_targets)
        invocation = Invocation(RunFolder(hydra_config.runtime.output_dir), config, command, resumption, cluster)
        if goes_on:
            from segtrain.sweeps.job import go_on_with_job

            return go_on_with_job(settings, invocation)
        module = importlib.import_module(f"segtrain.verbs.{verb}")
        return getattr(module, verb)(settings, invocation)
    except Interrupted as error:
        complain(error)
        logging.shutdown()
        sys.stdout.flush()
        # At once: Python takes seconds to clear a network away, and waits for what is still being read.
        os._exit(error.status)
    except KeyboardInterrupt:
        has_folder = cluster is None or cluster.is_chief
        where = f"; what the run has written so far is in {hydra_config.runtime.output_dir}" if has_folder else ""
        complain(f"interrupted{where}")
        sys.exit(STATUS_OF_INTERRUPT)
    except UnreadableFilesError as error:
        with contextlib.suppress(OSError):
            error.write_log()
        complain(error)
        sys.exit(STATUS_OF_UNREADABLE_FILES)
    except Exception as error:
        if cluster and not cluster.is_chief:  # which has no log
            if not isinstance(error, MISTAKES):
                traceback.print_exc()
                error = f"{type(error).__name__}: {one_line(error)} (unexpected; see above)"
            complain(error)
            sys.exit(1)
        # The log has the way there. The other jobs of a sweep go on; the comparison counts this one as failed.
        folder = RunFolder(hydra_config.runtime.output_dir)
        log = folder.log
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        complain(error if isinstance(error, MISTAKES) else _unexpected(error, log))
        if hydra_config.mode == RunMode.RUN:
            sys.exit(1)
        if not folder.results.is_file():  # a job that has not come as far as to say so itself
            folder.write_results({"status": "failed", "error": f"{type(error).__name__}: {error}"})
        return None


def _unexpected(error: Exception, log: Path) -> str:
    return f"{type(error).__name__}: {one_line(error)} (unexpected; the traceback is in {log})"


def complain(message: object) -> None:
    """Prints what is wrong."""
    print(f"segtrain: error: {message}", file=sys.stderr)
