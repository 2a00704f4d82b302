"""Where a run's or a sweep's files go: the folder's name, and whether it can be made."""

import hashlib
import re
import tempfile
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segtrain.command.typed_paths import quoted
from segtrain.config_error import ConfigError
from segtrain.run_folder import try_folder
from segtrain.settings import HOW_JOBS_ARE_RUN


def job_folder_name(overrides: str) -> str:
    """Returns a job's overrides as a file name of letters, digits, `-`, `_` and `.` that no other job has.

    Where that loses anything, a few digits of the overrides' hash tell the names apart.
    """
    plain = overrides.replace("=", "-").replace(",", "_")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.") or "job"
    if len(name) > 120:  # the seed stands near the end
        name = f"{name[:60]}-{name[-59:]}"
    return name if name == plain else f"{name}-{hashlib.sha256(overrides.encode()).hexdigest()[:6]}"


OmegaConf.register_new_resolver("job_folder_name", job_folder_name, replace=True)
OmegaConf.register_new_resolver("how_jobs_are_run", lambda: list(HOW_JOBS_ARE_RUN), replace=True)


def output_folder(config: DictConfig, sweeping: bool) -> Path:
    """Returns the folder that a composed config, `hydra` included, names for a run, or for a sweep.

    Raises:
        ConfigError: it names none.
    """
    name = "hydra.sweep.dir" if sweeping else "hydra.run.dir"
    try:
        folder = OmegaConf.select(config, name)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{name}: {str(error).splitlines()[0]}") from error
    if not folder:
        raise ConfigError(f"{name} has to name a folder. Leave it out for outputs/<date>/<time>.")
    return Path(str(folder))


def require_writable(folder: Path) -> None:
    """Refuses a folder that cannot be made or written to.

    Raises:
        ConfigError: why.
    """
    try:
        try_folder(folder)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"The run's folder {folder} cannot be made: {reason}. Type hydra.run.dir=FOLDER.") from error


def leaving_no_files() -> list[str]:
    """Returns what to type for a process whose files are another's: Hydra makes a folder that is there, and no file."""
    return [f"hydra.run.dir={quoted(tempfile.gettempdir())}", "hydra.output_subdir=null", "hydra/job_logging=disabled"]


def claimed(setting: str, folder: Path) -> list[str]:
    """Makes a folder that is named by the time, or one with a number behind it where another run began in the same
    second or the clock went back. Returns what to type for it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    mine, number = folder, 1
    while True:
        try:
            mine.mkdir()  # of two processes, one can
        except FileExistsError:
            number += 1
            mine = folder.with_name(f"{folder.name}-{number}")
        else:
            return [f"{setting}={quoted(str(mine))}"]
