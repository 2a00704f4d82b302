"""What a config may call. A config may come from a stranger, and a `_target_` is code to run.

Nothing here imports what is named.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segtrain.signatures import is_defined_in_its_module, read_signature

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
    r"logging\.(Formatter|StreamHandler|FileHandler|NullHandler|handlers\.[A-Z]\w*)|colorlog\.ColoredFormatter"
)
_IN_WORDS = "segtrain's own builders, albumentations' transforms, and callbacks, losses and optimizers of keras"


class TargetError(ValueError):
    """A config would call what it may not; the message says what to type."""


def require_allowed_targets(values: Any, where: str, allowed: Sequence[str] = ()) -> None:
    """Refuses what an option would call, at any depth, unless it is of the libraries above or allowed.

    Args:
        values: the option, resolved to plain values.
        where: the dotted name of where it stands.
        allowed: what the user trusts beside them: full names, or packages that end in a dot.

    Raises:
        TargetError: a `_target_` that may not be called, or a value that would be one only later.
    """
    for place, key, value in _entries(values, where):
        # Building resolves once more, and would call what nobody has looked at.
        if isinstance(value, str) and "${" in value:
            raise TargetError(f"{place}={value}: holds ${{ after it has been filled in. Write out what it stands for.")
        if key == "_target_" and isinstance(value, str) and not _is_allowed(place, value, allowed):
            package = value.partition(".")[0]
            is_known = package in ("segtrain", "albumentations", "keras")
            raise TargetError(
                f"{place}={value}: a config may call {_IN_WORDS}. If you trust this too, type "
                f"allow_targets=[{value if is_known else f'{package}.'}]."
            )


def require_allowed_hydra(values: Mapping[str, Any]) -> None:
    """Refuses what Hydra's own part of a config would call that is neither Hydra's nor a handler of logging.

    Args:
        values: `hydra`, as plain values that may hold interpolations.

    Raises:
        TargetError: launcher, sweeper, a callback or a logging class is something else.
    """
    for place, key, value in _entries(values, "hydra"):
        if isinstance(value, str) and re.search(r"\$\{\s*oc\.(create|decode)\b", value):
            raise TargetError(f"{place}={value}: Hydra's own settings may not be made by a resolver. Write them out.")
        is_logging = key in ("class", "()") and place.split(".")[1] in ("job_logging", "hydra_logging")
        known = _OF_LOGGING if is_logging else _OF_HYDRA if key == "_target_" else None
        if known and not known.fullmatch(str(value)):
            raise TargetError(
                f"{place}={value}: Hydra may call its launchers, sweepers and logging, and no other code."
            )


def _is_allowed(place: str, target: str, allowed: Sequence[str]) -> bool:
    if any(target.startswith(each) if each.endswith(".") else target == each for each in allowed):
        return True
    if target.startswith("segtrain."):
        try:
            read_signature(target)
        except ValueError as error:  # a mistyped one is told as that
            raise TargetError(f"{place}={target}: {error}") from error
        return bool(_OWN.fullmatch(target)) and is_defined_in_its_module(target)
    return bool(_OF_LIBRARIES.fullmatch(target)) and target not in _REFUSED


def _entries(values: Any, where: str, key: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """Yields dotted name, key and value of everything in nested settings."""
    yield where, key, values
    items = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    for inner, value in items:
        yield from _entries(value, f"{where}.{inner}", inner)
