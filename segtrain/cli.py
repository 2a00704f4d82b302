"""The command: verbs, Hydra, and an answer to every mistake. Imports no TensorFlow."""

import contextlib
import functools
import gc
import importlib
import logging
import os
import shlex
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from segtrain.command.command_line import read_command_line
from segtrain.command.completion import verb_to_complete
from segtrain.command.composition import check_command_line, config_folder, typed_allowance
from segtrain.command.help import describe_options
from segtrain.command.hydra_errors import one_line
from segtrain.command.output_folder import claimed
from segtrain.config_error import ConfigError
from segtrain.out_of_memory import OutOfMemoryError
from segtrain.prediction.unreadable import UnreadableFilesError
from segtrain.run_folder import RunFolder
from segtrain.settings import SCHEMAS, read_settings
from segtrain.sweeps.search_space import register_sweeper
from segtrain.training.signals import Interrupted
from segtrain.verbs.invocation import Invocation

CONFIG_NAMES = {verb: verb for verb in SCHEMAS} | {"train": "config"}
# How mistakes in data and settings are told: in words for whoever made them.
MISTAKES = (ValueError, TypeError, OSError, FloatingPointError, OutOfMemoryError)
STATUS_OF_USAGE_ERROR = 2
STATUS_OF_UNREADABLE_FILES = 3
STATUS_OF_INTERRUPT = 130


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line.

    Exits with 0, 1 (the run failed), 2 (the command line is wrong), 3 (predicted, but for files that are unreadable) or
    128 + the number of the signal that ended it.
    """
    if arguments is None and sys.getfilesystemencoding() != "utf-8":
        # TensorFlow takes no names that are anything else, and Python decides it once, when it starts.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})
    typed = sys.argv[1:] if arguments is None else arguments
    # Hydra's plugins have configs of the same names as ours, which name all their settings.
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
    try:
        line = read_command_line(typed)
        parsed, overrides = line.parsed, list(line.overrides)
        if line.about:
            print(describe_options(line.about[0], parsed.config_dir))
            return
        verb = verb_to_complete(SCHEMAS) if parsed.shell_completion else line.verb
        config_name = parsed.config_name or CONFIG_NAMES[verb]
        allow_targets = typed_allowance(line.typed)
        if not line.is_plain_question:
            output = check_command_line(line, config_name, allow_targets)
            overrides += claimed(*output) if output else []
    except ConfigError as error:
        # In one line, whatever was typed and is repeated in it.
        _complain(" ".join(str(error).splitlines()))
        sys.exit(STATUS_OF_USAGE_ERROR)
    sys.argv = [sys.argv[0], *line.options, *overrides]
    logging.raiseExceptions = False  # on a full disk each line of the log would come with a traceback
    task = {"verb": verb, "command": shlex.join(["segtrain", *typed]), "allow_targets": allow_targets}
    task = functools.partial(_do, task | {"goes_on": line.goes_on})
    task.__module__, task.__name__ = __name__, "segtrain"  # Hydra names the application by them
    register_sweeper()
    hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(task)()


def _do(task: dict[str, Any], config: DictConfig) -> Any:
    """What Hydra calls, in a worker's process for parallel sweeps."""
    if HydraConfig.get().mode == RunMode.RUN:
        return run_task(**task, config=config)
    from segtrain.sweeps.job import run_job

    return run_job(run_task, task, config)


def run_task(*, verb: str, command: str, allow_targets: list[str], goes_on: bool, config: DictConfig) -> Any:
    """Does what the verb says, in the folder Hydra made.

    Args:
        verb: the verb.
        command: the command line as typed.
        allow_targets: what was typed of that name.
        goes_on: a job of a sweep that was begun before.
        config: as composed.

    Returns:
        What a sweep compares.
    """
    hydra_config = HydraConfig.get()
    # Importing TensorFlow and tracing a network make millions of objects that stay; looking through them for garbage
    # every few hundred is a tenth of the time to the first step.
    gc.set_threshold(100_000, 20, 100)
    try:
        settings = read_settings(config, SCHEMAS[verb], allow_targets)
        invocation = Invocation(RunFolder(hydra_config.runtime.output_dir), config, command)
        if goes_on:
            from segtrain.sweeps.job import go_on_with_job

            return go_on_with_job(settings, invocation)
        module = importlib.import_module(f"segtrain.verbs.{verb}")
        return getattr(module, verb)(settings, invocation)
    except Interrupted as error:
        _complain(error)
        logging.shutdown()
        sys.stdout.flush()
        # At once: Python takes seconds to clear a network away, and waits for what is still being read.
        os._exit(error.status)
    except KeyboardInterrupt:
        _complain("interrupted; what the run has written so far is in " + hydra_config.runtime.output_dir)
        sys.exit(STATUS_OF_INTERRUPT)
    except UnreadableFilesError as error:
        with contextlib.suppress(OSError):
            error.write_log()
        _complain(error)
        sys.exit(STATUS_OF_UNREADABLE_FILES)
    except Exception as error:
        # The log has the way there. The other jobs of a sweep go on; the comparison counts this one as failed.
        folder = RunFolder(hydra_config.runtime.output_dir)
        log = folder.log
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        _complain(error if isinstance(error, MISTAKES) else _unexpected(error, log))
        if hydra_config.mode == RunMode.RUN:
            sys.exit(1)
        if not folder.results.is_file():  # a job that has not come as far as to say so itself
            folder.write_results({"status": "failed", "error": f"{type(error).__name__}: {error}"})
        return None
    finally:
        if hydra_config.mode == RunMode.MULTIRUN:
            gc.collect()  # networks refer to themselves, and the next job needs their memory


def _unexpected(error: Exception, log: Path) -> str:
    return f"{type(error).__name__}: {one_line(error)} (unexpected; the traceback is in {log})"


def _complain(message: object) -> None:
    print(f"segtrain: error: {message}", file=sys.stderr)
