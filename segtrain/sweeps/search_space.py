"""What a search varies: Hydra's overrides of several values as Optuna's distributions."""

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from segtrain.config_error import ConfigError
from segtrain.settings import check_call

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# The name under which Hydra builds our sweeper: it takes those of this package only; see `register_sweeper`.
SWEEPER = "hydra_plugins.segtrain.OptunaSweeper"
EXAMPLE = "'optimizer.learning_rate=tag(log,interval(1e-4,1e-1))'"


def register_sweeper() -> None:
    """Has Hydra know our sweeper, which it builds by a name of its own package for plugins and no other."""
    # Not by Plugins.register: under the true name, by which Hydra finds it again.
    Plugins.instance().class_name_to_class[SWEEPER] = build_sweeper


def build_sweeper(**options: Any) -> Sweeper:
    """Builds our sweeper, which help and mistakes do not wait for; see `OptunaSweeper`."""
    from segtrain.sweeps.optuna_sweeper import OptunaSweeper

    return OptunaSweeper(**options)


@dataclass(frozen=True)
class SearchSpace:
    """What a search varies, and what it does not.

    Attributes:
        fixed: overrides that every trial has.
        distributions: what the others are drawn from, by their keys.
    """

    fixed: list[str]
    distributions: "dict[str, BaseDistribution]"

    def grid(self) -> dict[str, list[Any]]:
        """Returns all values of each key; there have to be no intervals."""
        return {key: _values(distribution) for key, distribution in self.distributions.items()}


def varied_overrides(params: Mapping[str, Any]) -> list[str]:
    """Returns a trial's parameters as overrides; six digits of a number are enough for a folder's name."""
    return [f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()]


def read_search_space(sweeper: DictConfig, typed: Sequence[str], loader: ConfigLoader) -> SearchSpace:
    """Returns what the sweeper's `params` and the command line say; of a key that both have, the line's counts.

    Args:
        sweeper: `hydra.sweeper`.
        typed: overrides, those of Hydra's own settings left out.
        loader: Hydra's, which a glob over options asks for their names.

    Raises:
        ConfigError: nothing is varied, or values are no range to draw from.
    """
    overrides = {override.get_key_element(): override for override in _parsed(sweeper, typed, loader)}
    distributions = {key: _distribution(each) for key, each in overrides.items() if each.is_sweep_override()}
    if not distributions:
        raise ConfigError(f"hydra/sweeper=optuna: nothing to search. Type what to vary, such as {EXAMPLE}.")
    fixed = [
        f"{key}={each.get_value_element_as_str()}" if not each.is_delete() else each.input_line
        for key, each in overrides.items()
        if not each.is_sweep_override()
    ]
    if sweeper.sampler == "grid":
        for key in distributions:
            if overrides[key].is_interval_sweep():
                raise ConfigError(
                    f"{overrides[key].input_line}: sampler=grid tries each value, and an interval has no end of them. "
                    "Type range(low,high,step) or choice(a,b), or hydra.sweeper.sampler=tpe."
                )
    return SearchSpace(fixed, distributions)


def check_sweep(sweeper: DictConfig, typed: Sequence[str], loader: ConfigLoader) -> None:
    """Refuses a sweep that its sweeper cannot make; see `read_search_space`.

    Raises:
        ConfigError: an interval without a search, a setting of the search that is wrong, or no Optuna.
    """
    if sweeper._target_ != SWEEPER:
        for override in _parsed(sweeper, typed, loader):
            if override.is_interval_sweep():
                raise ConfigError(
                    f"{override.input_line}: a sweep tries each value, and an interval has no end of them. To search "
                    "in it, type hydra/sweeper=optuna too."
                )
        return
    check_call("hydra.sweeper", OmegaConf.to_container(sweeper), "segtrain.sweeps.optuna_sweeper.OptunaSweeper")
    try:
        importlib.import_module("optuna")
    except ImportError as error:
        raise ConfigError("hydra/sweeper=optuna needs Optuna. Type pip install 'segtrain-keras[search]'.") from error
    read_search_space(sweeper, typed, loader)


def worded_for_interval(error: ConfigError, overrides: Sequence[Override]) -> ConfigError:
    """Returns the error in words that blame the interval, where it is one of all numbers for a setting of integers.

    Args:
        error: what is wrong with a job's config.
        overrides: those of the sweep.
    """
    for override in overrides:
        if not override.is_interval_sweep():
            continue
        key, _, typed = override.input_line.partition("=")
        if f"{key}={override.value().start}: has to be an integer" in str(error):
            whole = re.sub(r"interval\([^)]*\)", r"int(\g<0>)", typed)
            return ConfigError(
                f"{override.input_line}: has to be integers, and an interval holds all numbers between its ends. Type "
                f"'{key}={whole}'."
            )
    return error


def _parsed(sweeper: DictConfig, typed: Sequence[str], loader: ConfigLoader) -> list[Override]:
    of_files = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    overrides = OverridesParser.create(loader).parse_overrides([*of_files, *typed])
    return [override for override in overrides if not override.is_hydra_override()]


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution

    sweep = override.value()
    tags = getattr(sweep, "tags", set())
    if tags - {"log"} or (tags and override.is_choice_sweep()):
        raise ConfigError(f"{override.input_line}: the one tag is log, of an interval or a range.")
    try:
        if override.is_interval_sweep():
            return _numbers(sweep.start, sweep.end, None, log="log" in tags)
        if override.is_choice_sweep():
            return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))
        values = sweep.range()
        values = values if isinstance(values, range) else list(values)
        if not values:
            raise ValueError("there is no value in it")
        low, high = sorted((values[0], values[-1]))
        if "log" in tags:  # what grows tenfold takes no steps
            return _numbers(low, high, None, log=True)
        return _numbers(low, high, abs(sweep.step), log=False)
    except ValueError as error:
        raise ConfigError(f"{override.input_line}: {error}") from error


def _numbers(low: float, high: float, step: float | None, *, log: bool) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log, step=1 if step is None else step)
    if step is not None:  # as decimals: 0.1 + 2 * 0.1 is no multiple of 0.1
        low, step = Decimal(str(low)), Decimal(str(step))
        high = float(low + round((Decimal(str(high)) - low) / step) * step)
        low, step = float(low), float(step)
    return FloatDistribution(low, high, log=log, step=step)


def _values(distribution: "BaseDistribution") -> list[Any]:
    if hasattr(distribution, "choices"):
        return list(distribution.choices)
    low, high, step = (Decimal(str(each)) for each in (distribution.low, distribution.high, distribution.step))
    number = type(distribution.low)
    return [number(low + place * step) for place in range(round((high - low) / step) + 1)]
