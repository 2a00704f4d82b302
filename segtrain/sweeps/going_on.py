"""The command line with which a sweep goes on."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segtrain.command.typed_paths import quoted
from segtrain.config_error import ConfigError

# What may be typed beside the folder: how jobs are run, never which; of a search, how many.
CHANGEABLE = re.compile(
    r"[+~]*(hydra/launcher=|hydra\.launcher\.|hydra\.job\.env_set\.|hydra\.sweeper\.n_(trials|jobs)=|sweep\.|allow_targets=)"
)


def is_sweep(folder: Path) -> bool:
    """Returns whether a folder is a sweep's, however far it came."""
    return (folder / "multirun.yaml").is_file()


def arguments_of_sweep(sweep: Path, typed: Sequence[str]) -> list[str]:
    """Returns the arguments with which a sweep was begun, for the same folder, and goes to where it was begun.

    Args:
        sweep: its folder.
        typed: overrides to go on with.

    Raises:
        ConfigError: the sweep cannot be read, or an override would make it another.
    """
    for override in typed:
        if not CHANGEABLE.match(override):
            raise ConfigError(
                f"{override}: a sweep goes on with the settings it was begun with. It can change hydra/launcher, "
                "hydra.launcher.*, hydra.job.env_set.*, hydra.sweeper.n_trials and n_jobs, sweep.* and allow_targets; "
                "resume one job's folder to change more, or begin anew."
            )
    path = sweep.absolute()
    try:
        hydra = OmegaConf.load(path / "multirun.yaml").hydra
        begun = [*hydra.overrides.task, *hydra.overrides.hydra]
        config_name, folders = hydra.job.config_name, hydra.runtime.config_sources
        own_folders = [f"--config-dir={each.path}" for each in folders if each.provider == "command-line"]
        own_folders += [f"--config-path={each.path}" for each in folders if each.provider == "main"]
        os.chdir(hydra.runtime.cwd)  # which relative paths are counted from
    except (OmegaConfBaseException, yaml.YAMLError, AttributeError, TypeError, ValueError, OSError) as error:
        raise ConfigError(f"{path / 'multirun.yaml'} does not tell how the sweep was begun: {error}") from error
    # Permission to call code is the user's to give, and not a file's.
    left_out = re.compile(r"[+~]*(hydra\.sweep\.dir=|hydra\.mode=|allow_targets=)")
    arguments = ["-m", *(each for each in begun if not left_out.match(each)), *typed]
    arguments += [f"hydra.sweep.dir={quoted(str(path))}", f"--config-name={config_name}"]
    return arguments + own_folders
