"""Checks a composed config before anything heavy loads, and words what is wrong with it.

Settings of a whole run have the dataclasses below. An option of a group (`conf/model/segnet.yaml`) is its own schema:
it lists what may be set, and the signature of its `_target_` says which values are right.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import yaml
from annotated_types import Ge, Le, Len
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segtrain.checks.combinations import (
    check_batches,
    check_together,
    check_windows,
    refuse_references_to_image_size,
)
from segtrain.checks.options import check_option, purpose
from segtrain.checks.signatures import read_signature
from segtrain.checks.targets import require_allowed_targets
from segtrain.checks.values import check_value
from segtrain.config_error import ConfigError, refuse_unknown
from segtrain.prediction.choices import FormatChoice, TtaChoice
from segtrain.starting_weights import WEIGHTS_SETTINGS, is_file_of_weights
from segtrain.training.convention import MetricConvention

Option = dict[str, Any]

# What the run itself hands to an option of a group, where its builder has a parameter of that name. These are facts
# with another home (the dataset knows its classes), so a config may not set them.
GIVEN_BY_RUN = {
    "model": {"num_classes", "channels"},
    "dataset": {"tell"},
    "augmentation": {"ignore_label", "channels"},
    "optimizer": set(),
    "schedule": {"learning_rate", "steps_per_epoch", "epochs"},
    "loss": {"ignore_label", "class_names", "class_balance", "tell"},
    "callbacks": {"folder", "validation", "evaluator", "describe_step", "warn"},
    "trainer": set(),
}
# Settings of a dataset that say where its files are.
PATHS_OF_DATA = ("root", "archive", "manual_folder", "mask_folder")
# What the run itself reads of an option, whatever its builder: conf/config.yaml has the defaults.
READ_BY_RUN = {
    "dataset": {
        "on_bad_sample": Literal["fail", "skip"],
        "max_bad_share": Annotated[float, Ge(0), Le(1)],
    },
    "optimizer": {
        "reference_batch_size": Annotated[int, Ge(1)] | None,
        "rate_scaling": Literal["linear", "sqrt"],
    },
    "trainer": {"find_batch_size": bool, "workers": Annotated[int, Ge(2)] | None},
}


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """A run. See conf/config.yaml."""

    model: Option
    dataset: Option
    augmentation: Option
    optimizer: Option
    schedule: Option
    loss: Option
    callbacks: dict[str, Option]
    trainer: Option
    image_size: Annotated[list[Annotated[int, Ge(1)]], Len(2, 2)] | None
    batch_size: Annotated[int, Ge(1)]
    epochs: Annotated[int, Ge(1)]
    seed: Annotated[int, Ge(0), Le(2**32 - 1)]
    max_samples: Annotated[int, Ge(2)] | None
    metric_convention: MetricConvention = "segtrain"
    stand_in: Option | None = None
    sweep: Option | None = None
    allow_targets: list[str] | None = None

    @property
    def accumulate(self) -> int:
        """Batches of a step. A trainer of an older run, or of the user's own, may not know of it."""
        return self.trainer.get("accumulate", 1)

    @property
    def images_per_step(self) -> int:
        """Images of a step, over all devices."""
        return self.batch_size * self.accumulate


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep runs its jobs; see conf/config.yaml."""

    fail_fast: bool
    own_process: bool | Literal["auto"]
    one_gpu_each: bool


# What says how a sweep's jobs are run and not which: it makes no other job, no other search and no other configuration.
HOW_JOBS_ARE_RUN = (*(f"sweep.{field.name}" for field in fields(SweepSettings)), "allow_targets")


def says_how_jobs_are_run(override: str) -> bool:
    """Returns whether an override, or a setting's key, says how jobs are run, and not what they are."""
    key = override.partition("=")[0].lstrip("+~")
    return any(f"{key}.".startswith(f"{each}.") for each in HOW_JOBS_ARE_RUN)


@dataclass(frozen=True)
class EvaluateSettings:
    """A finished run to score again. See conf/evaluate.yaml."""

    run: str
    split: Literal["train", "val", "test"]
    scale: Literal["native", "original"]
    tta: list[TtaChoice]
    sliding_window: Annotated[list[Annotated[int, Ge(1)]], Len(2, 2)] | None
    overlap: Annotated[float, Ge(0), Le(0.9)]
    metric_convention: MetricConvention | None
    batch_size: Annotated[int, Ge(1)] | None
    allow_targets: list[str] | None = None

    @property
    def sees_images_one_by_one(self) -> bool:
        """Whether images go through the network as `predict` gives them, and not in training's batches."""
        return self.scale == "original" or bool(self.tta) or self.sliding_window is not None


@dataclass(frozen=True)
class PredictSettings:
    """Images to predict with a finished run. See conf/predict.yaml."""

    run: str
    input: str | Annotated[list[str], Len(1)]
    output: str
    format: Annotated[list[FormatChoice], Len(1)]
    tta: list[TtaChoice]
    sliding_window: Annotated[list[Annotated[int, Ge(1)]], Len(2, 2)] | None
    overlap: Annotated[float, Ge(0), Le(0.9)]
    batch_size: Annotated[int, Ge(1)]
    overwrite: bool


@dataclass(frozen=True)
class ResumeSettings:
    """A run to go on with. See conf/resume.yaml."""

    run: str
    overrides: list[str]
    allow_targets: list[str] | None


@dataclass(frozen=True)
class CompareSettings:
    """Sweeps and runs to compare. See conf/compare.yaml."""

    run: str | Annotated[list[str], Len(1)]
    allow_targets: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings(TrainSettings):
    """What to time. See conf/benchmark.yaml."""

    rounds: Annotated[int, Ge(1)]
    measure: Annotated[
        list[Literal["run", "xla", "exchange", "pooling_pair", "networks", "pipelines", "disk_cache", "start_up"]],
        Len(1),
    ]


@dataclass(frozen=True, kw_only=True)
class SummarySettings(TrainSettings):
    """A network to sum up, of which no data is read: the dataset's files need not be named. See conf/summary.yaml."""

    num_classes: Annotated[int, Ge(2), Le(255)] | None
    channels: Annotated[int, Ge(1)]


# What each verb takes.
SCHEMAS = {
    "train": TrainSettings,
    "resume": ResumeSettings,
    "evaluate": EvaluateSettings,
    "predict": PredictSettings,
    "compare": CompareSettings,
    "inspect": TrainSettings,
    "summary": SummarySettings,
    "benchmark": BenchmarkSettings,
}


def read_settings(config: DictConfig, schema: type, allow_targets: Sequence[str] = ()) -> Any:
    """Returns the config as an instance of `schema`, one of the dataclasses above, checked to the last option.

    Args:
        config: as composed.
        schema: the dataclass.
        allow_targets: what the user has typed of that name. What a config says of itself is no permission.

    Raises:
        ConfigError: a key that does not exist, a value that is missing, of the wrong type or out of range, or a target
            that may not be called.
    """
    types = get_type_hints(schema, include_extras=True)
    refuse_unknown(config, types, prefix="")
    try:
        if "image_size" in config and config.image_size is None:
            refuse_references_to_image_size(config)
        if schema is SummarySettings:
            config = _without_missing_files(config)
        _require_all(config, types)
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    # Settings of the whole run first: options refer to them.
    for key in [key for key in types if key not in GIVEN_BY_RUN]:
        check_value(key, values[key], types[key])
    if values.get("sweep") is not None:
        _check_sweep(values["sweep"])
    _check_targets(values, allow_targets)
    for key in [key for key in types if key in GIVEN_BY_RUN]:
        if key == "callbacks":
            check_value(key, values[key], dict[str, Any])
        options = values[key].items() if key == "callbacks" else [("", values[key])]
        for name, option in options:
            check_option(
                f"{key}.{name}".rstrip("."),
                option,
                GIVEN_BY_RUN[key],
                READ_BY_RUN.get(key, {}),
                is_called=schema is not SummarySettings or key != "dataset",
            )
    if issubclass(schema, TrainSettings):
        check_together(values)
    settings = schema(**{field.name: values[field.name] for field in fields(schema)})
    if isinstance(settings, EvaluateSettings | PredictSettings):
        check_windows(settings.overlap, settings.sliding_window)
    if isinstance(settings, EvaluateSettings):
        check_batches(settings.batch_size, settings.sees_images_one_by_one)
    return settings


def check_call(where: str, arguments: Mapping[str, Any], target: str) -> None:
    """Checks arguments against the signature of what they are for, as those of an option are.

    Args:
        where: the dotted name of where they stand.
        arguments: plain values; a `_target_` among them does not count.
        target: dotted name of the function or class.

    Raises:
        ConfigError: one that there is not, or that is of the wrong type or out of range.
    """
    check_option(where, {**arguments, "_target_": target}, given=set())


def read_settings_of_run(path: Path, allow_targets: Sequence[str] | None = None) -> TrainSettings:
    """Returns the settings that a run left as `path`; see `read_config_of_run`."""
    return _read_run(path, allow_targets)[1]


def read_config_of_run(path: Path, allow_targets: Sequence[str] | None = None) -> DictConfig:
    """Returns the config that a run left as `path`, checked as that of a new run is.

    A setting that has a default may be missing: the run may be older than the setting.

    Args:
        path: the run's config.yaml, which may be a stranger's.
        allow_targets: see `read_settings`; those that the run was given do not count.

    Raises:
        ValueError: it cannot be read, or is no config of a run.
    """
    return _read_run(path, allow_targets)[0]


def _read_run(path: Path, allow_targets: Sequence[str] | None) -> tuple[DictConfig, TrainSettings]:
    try:
        config = OmegaConf.load(path)
        if not isinstance(config, DictConfig):
            raise ValueError("it holds no settings")
        newer = {field.name: field.default for field in fields(TrainSettings) if field.default is not MISSING}
        config = OmegaConf.merge(newer, config, {"allow_targets": allow_targets})
        return config, read_settings(config, TrainSettings, allow_targets or ())
    except (ValueError, OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is not the config of a run: {str(error).splitlines()[0]}") from error


def with_absolute_paths(config: DictConfig) -> DictConfig:
    """Resolves interpolations, and relative paths of dataset and weights, so that the config runs from any folder."""
    resolved = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    for key in PATHS_OF_DATA:
        if isinstance(resolved.dataset.get(key), str):
            resolved.dataset[key] = str(Path(resolved.dataset[key]).expanduser().resolve())
    for key in WEIGHTS_SETTINGS:
        weights = OmegaConf.select(resolved, key)
        if is_file_of_weights(weights):
            OmegaConf.update(resolved, key, str(Path(weights).expanduser().resolve()))
    return resolved


def _require_all(config: DictConfig, keys: Iterable[str]) -> None:
    """Refuses a config that leaves something out: a group (`~model`), or a value that has no default (`???`)."""
    for key in keys:
        if key in GIVEN_BY_RUN and _is_left_out(config, key):
            raise ConfigError(f"{key} is required. Type {key}=OPTION, or leave ~{key} out.")
        if key not in config:
            raise ConfigError(f"{key} is required. Type {key}=VALUE.")
    missing = OmegaConf.missing_keys(config)
    for name in (name for key in keys for name in sorted(missing) if name.partition(".")[0] == key):
        raise ConfigError(f"{name} is required{_purpose(config, name)}. Type {name}=VALUE.")


def _is_left_out(config: DictConfig, key: str) -> bool:
    option, of_run = config.get(key), READ_BY_RUN.get(key, {})
    return option is None or (bool(of_run) and isinstance(option, DictConfig) and option.keys() <= of_run.keys())


def _without_missing_files(config: DictConfig) -> DictConfig:
    """Returns the config without the dataset's settings that have no default: where its files are."""
    config = copy.deepcopy(config)
    OmegaConf.set_struct(config, False)
    for key in [key for key in config.get("dataset") or () if OmegaConf.is_missing(config.dataset, key)]:
        del config.dataset[key]
    return config


def _purpose(config: DictConfig, key: str) -> str:
    """Returns what the missing setting is for."""
    group, _, name = key.partition(".")
    option = OmegaConf.select(config, group) if name else None
    signature = read_signature(option["_target_"]) if isinstance(option, DictConfig) and "_target_" in option else None
    return purpose(signature.parameters.get(name)) if signature else ""


def _check_sweep(sweep: Mapping[str, Any]) -> None:
    types = get_type_hints(SweepSettings, include_extras=True)
    refuse_unknown(sweep, types, prefix="sweep.")
    for key, value in sweep.items():
        check_value(f"sweep.{key}", value, types[key])


def _check_targets(values: Mapping[str, Any], allow_targets: Sequence[str]) -> None:
    untyped = [target for target in values.get("allow_targets") or () if target not in allow_targets]
    if untyped:
        raise ConfigError(
            f"allow_targets: a config file says so, and it has to be typed. If you trust that code, type "
            f"allow_targets=[{','.join(untyped)}]."
        )
    for key in [key for key in GIVEN_BY_RUN if key in values]:
        require_allowed_targets(values[key], key, allow_targets)
