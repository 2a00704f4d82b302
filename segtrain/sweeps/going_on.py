"""The command line with which a sweep goes on."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segtrain.command.typed_paths import quoted
from segtrain.config_error import ConfigError

# What may be typed beside the folder: how jobs are run, never which; of a search, how many.
CHANGEABLE = re.compile(r"[+~]*(hydra[./](?!sweep\.dir=|mode=)|sweep\.|allow_targets=)")
# Of Hydra's own settings, what a folder may say that may be a stranger's: nothing that writes elsewhere, or that has
# files read which somebody else has put there.
OF_FILE = re.compile(r"[+~]*hydra(/(launcher|sweeper)=|\.launcher\.(?!submitit_folder)|\.sweeper\.(?!storage))")
# What is set anew, or is the user's alone to give.
LEFT_OUT = re.compile(r"[+~]*(hydra\.sweep\.dir=|hydra\.mode=|allow_targets=)")


def is_sweep(folder: Path) -> bool:
    """Returns whether a folder is a sweep's, however far it came."""
    return (folder / "multirun.yaml").is_file()


def resume_command(folder: Path) -> str:
    """Returns what to type to go on with a sweep, or a run; of a run that is a job, with its sweep."""
    return shlex.join(["segtrain", "resume", str(folder.parent if is_sweep(folder.parent) else folder)])


def arguments_of_sweep(sweep: Path, typed: Sequence[str]) -> tuple[list[str], Path]:
    """Reads how a sweep was begun.

    Args:
        sweep: its folder.
        typed: overrides to go on with.

    Returns:
        The arguments with which it was begun, for the same folder, and where it was, from which relative paths count.

    Raises:
        ConfigError: the sweep cannot be read, or an override would make it another.
    """
    for override in typed:
        if not CHANGEABLE.match(override):
            raise ConfigError(
                f"{override}: a sweep goes on with the settings it was begun with. It can change hydra.*, sweep.* and "
                "allow_targets; resume one job's folder to change more, or begin anew."
            )
    path = sweep.absolute()
    try:
        hydra = OmegaConf.load(path / "multirun.yaml").hydra
        overrides = OmegaConf.to_container(hydra.overrides)  # with interpolations as they were typed
        begun = [str(each) for kind in ("task", "hydra") for each in overrides[kind]]
        config_name, folders = hydra.job.config_name, hydra.runtime.config_sources
        own_folders = [f"--config-dir={each.path}" for each in folders if each.provider == "command-line"]
        own_folders += [f"--config-path={each.path}" for each in folders if each.provider == "main"]
        begun_in = Path(hydra.runtime.cwd)
    except (OmegaConfBaseException, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise ConfigError(f"{path / 'multirun.yaml'} does not tell how the sweep was begun: {error}") from error
    if not os.access(begun_in, os.X_OK):
        raise ConfigError(
            f"{begun_in}: the sweep was begun there, where what is relative counts from, and there is no such folder "
            "any more. Make one, or begin the sweep anew."
        )
    kept = [each for each in begun if not LEFT_OUT.match(each)]
    if any(each.startswith("hydra/launcher=") for each in typed):  # whose settings are others
        kept = [each for each in kept if not re.match(r"[+~]*hydra[./]launcher", each)]
    for override in kept:
        if re.match(r"[+~]*hydra[./]", override) and not OF_FILE.match(override) and override not in typed:
            raise ConfigError(
                f"{override}: the sweep's folder says so, and it may write elsewhere or run code. If you trust it, "
                "type it too."
            )
    arguments = ["-m", *kept, *(each for each in typed if each not in kept)]
    arguments += [f"hydra.sweep.dir={quoted(str(path))}", f"--config-name={config_name}"]
    return arguments + own_folders, begun_in
