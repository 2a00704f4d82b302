"""Composes a command line's config, or every job's of a sweep, and checks it before anything heavy is imported."""

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from segtrain.checks.combinations import refuse_swapping
from segtrain.checks.targets import require_allowed_hydra
from segtrain.command.command_line import CommandLine
from segtrain.command.hydra_errors import one_line, unreadable, worded
from segtrain.command.output_folder import output_folder, require_writable
from segtrain.command.recipes import require_its_sweep, require_one_experiment, worded_for_experiment
from segtrain.command.typed_paths import quoted
from segtrain.comparison.jobs import folders_of_runs
from segtrain.config_error import ConfigError
from segtrain.resumption import Resumption, plan_resumption
from segtrain.settings import (
    GIVEN_BY_RUN,
    SCHEMAS,
    CompareSettings,
    ResumeSettings,
    TrainSettings,
    read_settings,
)
from segtrain.starting_weights import require_files_of_weights
from segtrain.sweeps.launchers import check_launcher
from segtrain.sweeps.search_space import check_sweep, worded_for_interval
from segtrain.training.cluster import Cluster, cluster_of


def config_folder() -> Path:
    """Returns the folder of the configs: the package's own, or in a checkout the one beside the package."""
    package = Path(__file__).resolve().parents[1]
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


@dataclass(frozen=True)
class Checked:
    """What a command line has been found to say.

    Attributes:
        output: where the setting of the output folder holds the time: its name, and the folder of now.
        resumption: how a run goes on, which is read from its folder once.
        cluster: the workers that train the run together, if several do.
    """

    output: tuple[str, Path] | None = None
    resumption: Resumption | None = None
    cluster: Cluster | None = None


def check_command_line(line: CommandLine, config_name: str, allow_targets: Sequence[str]) -> Checked:
    """Composes each config and checks it.

    Args:
        line: the command line.
        config_name: the config that it begins with.
        allow_targets: see `segtrain.settings.read_settings`.

    Raises:
        ConfigError: what is wrong, in a line.
    """
    parsed, sweeping = line.parsed, line.parsed.multirun
    for option, value in (("--config-dir", parsed.config_dir), ("--config-path", parsed.config_path)):
        if value and not Path(value).is_dir():
            raise ConfigError(f"{option} {value}: there is no such folder.")
    if parsed.resolve and not parsed.cfg:
        raise ConfigError("--resolve: goes with --cfg. Type segtrain --cfg job --resolve.")
    if parsed.package and not parsed.cfg:
        raise ConfigError("--package: goes with --cfg. Type segtrain --cfg job --package NAME.")
    search = (
        [f"hydra.searchpath=[{quoted(f'file://{Path(parsed.config_dir).resolve()}')}]"] if parsed.config_dir else []
    )
    folder = Path(parsed.config_path).resolve() if parsed.config_path else config_folder()
    require_one_experiment(line.overrides)
    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        typed_keys = [override.key_or_group for override in _parsed(line.typed)]
        _require_one_option(line.typed)
        if not sweeping and not line.is_question:
            _require_no_setting_of_sweep(line.overrides)
        line = _with_sweep_of_file(line, config_name, search, typed_keys)
        for overrides in _jobs_to_check(line):
            config = _compose(line.verb, config_name, [*overrides, *search])
            require_allowed_hydra(OmegaConf.to_container(config.hydra), typed_keys)
            if not line.is_question:
                if line.verb == "train":
                    require_its_sweep(config, overrides, line.overrides, sweeping=sweeping)
                    if sweeping and OmegaConf.select(config, "trainer.strategy") == "multiworker":
                        raise ConfigError(
                            "trainer.strategy=multiworker: all workers train one run together, and a sweep has many. "
                            "Type each run by itself, without -m, in a folder of its own "
                            "(hydra.run.dir=FOLDER/NAME), and then segtrain compare FOLDER; or type another "
                            "trainer.strategy."
                        )
                try:
                    resumption, cluster = _check_settings(config, line.verb, allow_targets)
                except ConfigError as error:
                    if sweeping and line.verb == "train":  # which may lie in how it varies
                        check_sweep(config.hydra.sweeper, line.overrides, GlobalHydra.instance().config_loader())
                        error = worded_for_interval(error, _parsed(line.overrides))
                    raise worded_for_experiment(error, config, config_name, [*overrides, *search]) from error
                if cluster is None or cluster.is_chief:
                    require_writable(output_folder(config, sweeping))
        if sweeping and line.verb == "train":
            check_sweep(config.hydra.sweeper, line.overrides, GlobalHydra.instance().config_loader())
            check_launcher(config)
        if line.is_question:
            return Checked()
        output = output_folder(config, sweeping)
    kind = "sweep" if sweeping else "run"
    is_of_now = "${now:" in str(OmegaConf.to_container(config.hydra)[kind]["dir"])
    return Checked((f"hydra.{kind}.dir", output) if is_of_now else None, resumption, cluster)


def _check_settings(
    config: DictConfig, verb: str, allow_targets: Sequence[str]
) -> tuple[Resumption | None, Cluster | None]:
    own = config.copy()
    OmegaConf.set_struct(own, False)
    del own["hydra"]
    if verb in ("resume", "compare") and OmegaConf.is_missing(own, "run"):
        raise ConfigError(
            f"run is required: the folder of a run or of a sweep. Type segtrain {verb} outputs/multirun/<date>/<time>."
        )
    settings = read_settings(own, SCHEMAS[verb], allow_targets)
    if isinstance(settings, TrainSettings):
        require_files_of_weights(settings.model)
        refuse_swapping(settings.callbacks)
    if isinstance(settings, CompareSettings):
        try:
            runs = [settings.run] if isinstance(settings.run, str) else settings.run
            for run in runs:
                folders_of_runs(Path(os.path.expanduser(run)))
        except ValueError as error:
            raise ConfigError(str(error)) from error
    resumption = None
    if isinstance(settings, ResumeSettings):
        # Before Hydra makes the folder, where there is none.
        resumption = plan_resumption(settings.run, settings.overrides, settings.allow_targets)
    if verb not in ("train", "resume", "benchmark") or (resumption and resumption.has_nothing_to_do):
        return resumption, None
    try:
        return resumption, cluster_of((resumption.settings if resumption else settings).trainer)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def typed_allowance(overrides: Sequence[str]) -> list[str]:
    """Returns what the command line itself says of `allow_targets`, for any job of a sweep."""
    values = [override.value() for override in _parsed(overrides) if override.key_or_group == "allow_targets"]
    lists = [value if isinstance(value, list) else [value] for value in values]
    return [str(target) for targets in lists for target in targets]


def _require_no_setting_of_sweep(overrides: Sequence[str]) -> None:
    """Refuses what says how a sweep's jobs are chosen or begun in one run, where Hydra takes no notice of it."""
    for override in _parsed(overrides):
        if re.match(r"hydra[./](sweeper|launcher)\b", override.key_or_group):
            raise ConfigError(
                f"{override.input_line}: is for a sweep, and this is one run. Type segtrain -m {override.input_line}, "
                "or leave it out."
            )


def _require_one_option(overrides: Sequence[str]) -> None:
    """Refuses a list of options, of which a group takes the last and says nothing; callbacks alone are several."""
    for override in _parsed(overrides):
        value, group = override.value(), override.key_or_group
        if isinstance(value, list) and value and group in {*GIVEN_BY_RUN, "size"} - {"callbacks"}:
            raise ConfigError(f"{override.input_line}: has to name one option, such as {group}={value[0]}.")


def _with_sweep_of_file(
    line: CommandLine, config_name: str, search: Sequence[str], typed_keys: Sequence[str]
) -> CommandLine:
    """Returns the line with the sweep that a file holds (`hydra.sweeper.params`), as if it had been typed."""
    if not line.parsed.multirun:
        return line
    config = _compose(line.verb, config_name, [*line.overrides, *search], RunMode.MULTIRUN)
    params = config.hydra.sweeper.get("params") or {}
    for key in params:
        if re.match(r"\W*(hydra|allow_targets)\b", key):
            raise ConfigError(f"hydra.sweeper.params.{key}: a file's sweep varies settings of the run. Leave it out.")
    require_allowed_hydra(OmegaConf.to_container(config.hydra), typed_keys)
    of_file = [f"{key}={value}" for key, value in params.items() if key not in typed_keys]
    return replace(line, overrides=[*of_file, *line.overrides], of_file=[*of_file, *line.of_file])


def _parsed(overrides: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException:  # told when the config is composed
        return []


def _jobs_to_check(line: CommandLine) -> Iterator[list[str]]:
    """Yields settings that between them hold every value of a sweep: their number is the sum, not the product."""
    try:
        # The loader is what a glob over options asks for their names.
        parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(list(line.overrides))
    except OverrideParseException as error:
        raise ConfigError(unreadable(error)) from error
    except HydraException as error:
        raise ConfigError(one_line(error)) from error
    choices = [[override.input_line] for override in parsed]
    for place, override in enumerate(parsed):
        if not override.is_sweep_override():
            continue
        several = f"{override.input_line}: several values make a sweep"
        if line.verb != "train":
            raise ConfigError(f"{several}, and sweeps are for training. Type segtrain {line.verb} once for each value.")
        if not line.parsed.multirun:
            search = " hydra/sweeper=optuna" if override.is_interval_sweep() else ""
            raise ConfigError(f"{several}. Type segtrain -m{search} {override.input_line}.")
        if override.is_discrete_sweep():
            try:
                values = [*itertools.islice(override.sweep_string_iterator(), 1000)]
            except ValueError as error:
                raise ConfigError(f"{override.input_line}: {error}.") from error
            if not values:
                raise ConfigError(f"{override.input_line}: there is no value in it.")
            choices[place] = [f"{override.get_key_element()}={value}" for value in values]
        else:
            sweep = override.value()
            choices[place] = [f"{override.get_key_element()}={end}" for end in (sweep.start, sweep.end)]
    if line.parsed.multirun and line.verb != "train":
        raise ConfigError(f"-m: sweeps are for training. Type segtrain {line.verb} without it.")
    first = [values[0] for values in choices]
    yield first
    for place, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:place], value, *first[place + 1 :]]


def _compose(verb: str, config_name: str, overrides: list[str], mode: RunMode = RunMode.RUN) -> DictConfig:
    """Composes as Hydra does: for a sweep, without what varies."""
    try:
        return GlobalHydra.instance().hydra.compose_config(
            config_name, overrides, run_mode=mode, from_shell=mode == RunMode.MULTIRUN, with_log_configuration=False
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{where}{error.problem}.") from error
    except Exception as error:  # what Hydra stumbles over in odd YAML is of every kind
        raise ConfigError(worded(error, verb, overrides)) from error
