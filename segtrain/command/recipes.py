"""What a recipe (`experiment=NAME`) and the settings typed beside it have to do with one another."""

import re

import hydra
from omegaconf import DictConfig, OmegaConf

from segtrain.config_error import ConfigError


def require_one_experiment(overrides: list[str]) -> None:
    """Refuses several experiments in one run, of which Hydra would take the last, or merge them.

    Args:
        overrides: all that is typed, a sweep's too.

    Raises:
        ConfigError: there are several.
    """
    typed = [override for override in overrides if _key(override) == "experiment"]
    names = [name for override in typed for name in override.partition("=")[2].strip("[]").split(",")]
    if len(typed) > 1 or any("=[" in override for override in typed):
        raise ConfigError(
            f"{' '.join(typed)}: a run has one experiment. Type experiment={names[-1]}, "
            f"or a sweep over them: segtrain -m experiment={','.join(names)}."
        )


def require_its_sweep(config: DictConfig, overrides: list[str], typed: list[str], *, sweeping: bool) -> None:
    """Refuses to run an experiment that is a sweep as one run, which would be of a value that nobody chose.

    Args:
        config: as composed, with Hydra's part.
        overrides: what it is composed of.
        typed: what was typed for it: of a sweep, with all values.
        sweeping: whether it is a sweep.

    Raises:
        ConfigError: a setting that the experiment sweeps is not typed, and the experiment is not swept alone.
    """
    name = config.hydra.runtime.choices.get("experiment")
    swept = OmegaConf.select(config, "hydra.sweeper.params") or {}
    left = [key for key in swept if key not in map(_key, overrides)]
    # Hydra takes a file's sweep where the file is the same in all jobs.
    if name is None or not left or (sweeping and f"experiment={name}" in typed):
        return
    one = " ".join(f"{key}=VALUE" for key in left)
    raise ConfigError(
        f"experiment={name}: is a sweep over {', '.join(left)}. Type segtrain -m experiment={name}, or {one} for one "
        "run of it."
    )


def worded_for_experiment(
    error: ConfigError, config: DictConfig, config_name: str, overrides: list[str]
) -> ConfigError:
    """Returns the error in words that blame the experiment, where it sets what another option that is typed lacks.

    Args:
        error: what is wrong with the config.
        config: as composed, with Hydra's part.
        config_name: of the config.
        overrides: what it is composed of.
    """
    name = config.hydra.runtime.choices.get("experiment")
    key, _, reason = str(error).partition(": ")
    option = next((each for each in overrides if _key(each) == key.partition(".")[0]), None)
    is_setting = re.fullmatch(r"[\w.]+", key)  # and not what is said of a value, or of what is missing
    if name is None or option is None or not is_setting or key in map(_key, overrides):
        return error
    alone = hydra.compose(config_name, [option, *(each for each in overrides if _key(each) == "hydra.searchpath")])
    if OmegaConf.select(alone, key) is not None:
        return error  # the option's own
    return ConfigError(
        f"experiment={name} sets {key}, which {option} does not take: {reason} Leave {option} out, or type ~{key} too."
    )


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
