"""What launchers need before a sweep can begin: their packages, Slurm, and settings that make sense."""

import importlib.util
import shutil
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from segtrain.config_error import ConfigError

# What brings the module of a launcher's plugin.
INSTALLED_BY = {
    "hydra_plugins.hydra_joblib_launcher": "'segtrain-keras[launchers]'",
    "hydra_plugins.hydra_submitit_launcher": "'segtrain-keras[launchers]'",
    "hydra_plugins.hydra_ray_launcher": "hydra-ray-launcher",
}
COMMANDS_OF_SLURM = ("sbatch", "srun")
SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"


def register_launchers() -> None:
    """Has Hydra build our launchers in place of those of submitit's plugin, which it knows by the same names."""
    known = Plugins.instance().class_name_to_class
    known |= {f"{SUBMITIT}.SlurmLauncher": build_slurm_launcher, f"{SUBMITIT}.LocalLauncher": build_local_launcher}


def build_slurm_launcher(**options: Any) -> Launcher:
    """Builds the launcher, whose packages help and mistakes do not wait for."""
    from segtrain.sweeps.submitit_launchers import SlurmLauncher

    return SlurmLauncher(**options)


def build_local_launcher(**options: Any) -> Launcher:
    """Builds the launcher, whose packages help and mistakes do not wait for."""
    from segtrain.sweeps.submitit_launchers import LocalLauncher

    return LocalLauncher(**options)


def check_launcher(config: DictConfig) -> None:
    """Refuses a launcher that cannot begin a sweep's jobs here.

    Args:
        config: as composed, with Hydra's part.

    Raises:
        ConfigError: its package is not installed, there is no Slurm, or a setting makes no sense.
    """
    launcher, name = config.hydra.launcher, f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}"
    plugin = ".".join(launcher._target_.split(".")[:2])
    if plugin in INSTALLED_BY and not _is_installed(plugin):
        raise ConfigError(f"{name} needs a package that is not installed. Type pip install {INSTALLED_BY[plugin]}.")
    missing = [command for command in COMMANDS_OF_SLURM if shutil.which(command) is None]
    if launcher._target_.endswith(".SlurmLauncher") and missing:
        raise ConfigError(
            f"{name} needs Slurm, and {' and '.join(missing)} cannot be found. Type it where jobs are handed to Slurm; "
            "on this machine type hydra/launcher=joblib."
        )
    tasks = (launcher.get("nodes") or 1) * (launcher.get("tasks_per_node") or 1)
    if tasks > 1:
        raise ConfigError(
            f"{name}: each of the {tasks} tasks of a job would train the same run by itself. Type "
            "hydra.launcher.nodes=1 hydra.launcher.tasks_per_node=1; for runs on several nodes hand a script to sbatch "
            "for each, which slurm.md beside the launcher's config shows."
        )
    if launcher.get("n_jobs") == 0:
        raise ConfigError(
            "hydra.launcher.n_jobs=0: has to be how many jobs run at the same time, 1 or more, or -1 for one a core."
        )
    if config.sweep.one_gpu_each and config.sweep.own_process is False:
        raise ConfigError(
            "sweep.one_gpu_each=true: a job sees one GPU in a process of its own. Leave sweep.own_process=false out."
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it
        return False
