"""What a config may call. A config may come from a stranger, and a `_target_` is code to run.

Nothing here imports what is named.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from segtrain.checks.nested import entries
from segtrain.checks.signatures import is_defined_in_its_module, read_signature
from segtrain.config_error import ConfigError

# Builders and classes of the package. They have to stand in the named module itself, since through what a module has
# imported everything else is reached (segtrain.models.unet.keras...).
_OWN = re.compile(r"segtrain\.(models|datasets|augmentations|training|benchmarks)\.([\w.]+\.)?(build_\w+|[A-Z]\w*)")
# Classes of libraries by their public names.
_OF_LIBRARIES = re.compile(r"(albumentations|keras\.(callbacks|losses|optimizers))\.[A-Z]\w*")
# The first deletes the folder that it is told, the second sends what it measures to an address.
_REFUSED = {"keras.callbacks.BackupAndRestore", "keras.callbacks.RemoteMonitor"}
# What Hydra builds beside the run.
_OF_HYDRA = re.compile(
    r"hydra\._internal\.core_plugins\.basic_(launcher\.BasicLauncher|sweeper\.BasicSweeper)"
    r"|hydra_plugins\.(\w+\.\w+\.\w+(Launcher|Sweeper)|segtrain\.OptunaSweeper)|optuna\.samplers\.[A-Z]\w*"
    r"|segtrain\.sweeps\.callback\.CompareJobs"
)
_OF_LOGGING = re.compile(
    r"logging\.(Formatter|(Stream|File|Null)Handler|handlers\.(Rotating|TimedRotating|Watched)FileHandler)"
    r"|colorlog\.ColoredFormatter"
)
# What runs commands, calls what it names or changes the process: settings of Hydra's, of its launchers and sweepers.
_TYPED_ONLY = {"env_set", "custom_search_space", "setup", "srun_args", "additional_parameters", "python"}
_IN_WORDS = "segtrain's own builders, albumentations' transforms, and callbacks, losses and optimizers of keras"


def require_allowed_targets(values: Any, where: str, allowed: Sequence[str] = ()) -> None:
    """Refuses what an option would call, at any depth, unless it is of the libraries above or allowed.

    Args:
        values: the option, resolved to plain values.
        where: the dotted name of where it stands.
        allowed: what the user trusts beside them: full names, or packages that end in a dot.

    Raises:
        ConfigError: a `_target_` that may not be called, or a value that would be one only later.
    """
    for place, key, value in entries(values, where):
        # Building resolves once more, and would call what nobody has looked at.
        if isinstance(value, str) and "${" in value:
            raise ConfigError(f"{place}={value}: holds ${{ after it has been filled in. Write out what it stands for.")
        if key == "_target_" and isinstance(value, str) and not _is_allowed(place, value, allowed):
            package = value.partition(".")[0]
            is_known = package in ("segtrain", "albumentations", "keras")
            permission = f"allow_targets=[{value if is_known else f'{package}.'}]"
            # Of Python's own modules Hydra calls few, whatever is typed.
            advice = "" if package in sys.stdlib_module_names else f" If you trust this too, type {permission}."
            raise ConfigError(f"{place}={value}: a config may call {_IN_WORDS}.{advice}")


def require_allowed_hydra(values: Mapping[str, Any], typed: Sequence[str] = ()) -> None:
    """Refuses what Hydra's own part of a config would call that is neither Hydra's nor a handler of logging.

    Args:
        values: `hydra`, as plain values that may hold interpolations.
        typed: dotted names of the settings that the user has typed.

    Raises:
        ConfigError: launcher, sweeper, a callback or a logging class is something else; or a setting that runs
            commands or changes the environment stands in a file.
    """
    for place, key, value in entries(values, "hydra"):
        if isinstance(value, str) and re.search(r"\$\{\s*oc\.(create|decode)\b", value):
            raise ConfigError(f"{place}={value}: Hydra's own settings may not be made by a resolver. Write them out.")
        is_of_logging = place.split(".")[1:2] in (["job_logging"], ["hydra_logging"])
        # What logging resolves by importing it.
        is_import = is_of_logging and isinstance(value, str) and "://" in value
        if is_import and value not in ("ext://sys.stdout", "ext://sys.stderr"):
            raise ConfigError(f"{place}={value}: Hydra may log to ext://sys.stdout, ext://sys.stderr or a file.")
        is_logging = is_of_logging and key in ("class", "()")
        known = _OF_LOGGING if is_logging else _OF_HYDRA if key == "_target_" else None
        if known and not known.fullmatch(str(value)):
            raise ConfigError(
                f"{place}={value}: Hydra may call its launchers, sweepers and logging, and no other code."
            )
        is_set = value is not None and not isinstance(value, Mapping | list)
        if is_set and _TYPED_ONLY & set(place.split(".")) and not _is_typed(place, typed):
            raise ConfigError(
                f"{place}={value}: a config file says so, and it has to be typed, since it may run code. If you trust "
                f"it, type {place}=VALUE."
            )


def _is_typed(place: str, typed: Sequence[str]) -> bool:
    return any(place == key or place.startswith(f"{key}.") for key in typed)


def _is_allowed(place: str, target: str, allowed: Sequence[str]) -> bool:
    if any(target.startswith(each) if each.endswith(".") else target == each for each in allowed):
        return True
    if target.startswith("segtrain."):
        try:
            read_signature(target)
        except ValueError as error:  # a mistyped one is told as that
            raise ConfigError(f"{place}={target}: {error}") from error
        return bool(_OWN.fullmatch(target)) and is_defined_in_its_module(target)
    return bool(_OF_LIBRARIES.fullmatch(target)) and target not in _REFUSED
