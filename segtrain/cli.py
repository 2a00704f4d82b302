"""The command: verbs, Hydra, and an answer to every mistake. Imports no TensorFlow."""

import contextlib
import functools
import logging
import os
import shlex
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from segtrain.command.command_line import read_command_line
from segtrain.command.completion import verb_to_complete
from segtrain.command.composition import Checked, check_command_line, config_folder, typed_allowance
from segtrain.command.help import describe_options
from segtrain.command.output_folder import claimed, leaving_no_files
from segtrain.config_error import ConfigError
from segtrain.settings import SCHEMAS
from segtrain.sweeps.going_on import is_sweep, resume_command
from segtrain.sweeps.launchers import register_launchers
from segtrain.sweeps.search_space import register_sweeper
from segtrain.sweeps.workers import waiting_for_jobs_that_save
from segtrain.task import STATUS_OF_INTERRUPT, complain, run_task

CONFIG_NAMES = {verb: verb for verb in SCHEMAS} | {"train": "config"}
STATUS_OF_USAGE_ERROR = 2
# Hydra's plugins have configs of the same names as ours, which name all their settings. Here, since it goes for the
# workers of a launcher as well, which import this file.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line.

    Exits with 0, 1 (the run failed), 2 (the command line is wrong), 3 (predicted, but for files that are unreadable) or
    128 + the number of the signal that ended it.
    """
    if arguments is None and sys.getfilesystemencoding() != "utf-8":
        # TensorFlow takes no names that are anything else, and Python decides it once, when it starts.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        line = read_command_line(typed)
        parsed, overrides = line.parsed, list(line.overrides)
        if line.about:
            print(describe_options(line.about[0], parsed.config_dir))
            return
        verb = verb_to_complete(SCHEMAS) if parsed.shell_completion else line.verb
        if line.is_question and arguments is None:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads the answer may have read enough of it
        config_name = parsed.config_name or CONFIG_NAMES[verb]
        allow_targets = typed_allowance(line.typed)
        checked = Checked()
        if not line.is_plain_question:
            if line.begun_in is not None:
                os.chdir(line.begun_in)
            checked = check_command_line(line, config_name, allow_targets)
            if checked.cluster and not checked.cluster.is_chief:
                overrides += leaving_no_files()
            elif checked.output:
                overrides += claimed(*checked.output)
    except ConfigError as error:
        # In one line, whatever was typed and is repeated in it.
        complain(" ".join(str(error).splitlines()))
        sys.exit(STATUS_OF_USAGE_ERROR)
    sys.argv = [sys.argv[0], *line.options, *overrides]
    logging.raiseExceptions = False  # on a full disk each line of the log would come with a traceback
    task = {"verb": verb, "command": shlex.join(["segtrain", *typed]), "allow_targets": allow_targets}
    task |= {"goes_on": line.goes_on, "resumption": checked.resumption, "cluster": checked.cluster}
    task = functools.partial(_do, task, os.getpid())
    task.__module__, task.__name__ = __name__, "segtrain"  # Hydra names the application by them
    register_sweeper()
    register_launchers()
    run = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(task)
    try:
        with waiting_for_jobs_that_save() if arguments is None and parsed.multirun else contextlib.nullcontext():
            run()
    except KeyboardInterrupt:  # of a sweep between jobs, or whose jobs are in other processes
        complain(f"interrupted. {_how_to_go_on()}".rstrip())
        sys.exit(STATUS_OF_INTERRUPT)


def _how_to_go_on() -> str:
    sweep = Path(HydraConfig.get().sweep.dir) if HydraConfig.initialized() else None
    return f"Go on with: {resume_command(sweep)}" if sweep and is_sweep(sweep) else ""


def _do(task: dict[str, Any], sweep_process: int, config: DictConfig) -> Any:
    """What Hydra calls, in a worker's process for parallel sweeps."""
    if HydraConfig.get().mode == RunMode.RUN:
        return run_task(**task, config=config)
    from segtrain.sweeps.job import run_job

    return run_job(task, config, sweep_process)
