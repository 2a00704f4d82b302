"""Checks a composed config before anything heavy loads, and words what is wrong with it.

Settings of a whole run have the dataclasses below. An option of a group (`conf/model/segnet.yaml`) is its own schema:
it lists what may be set, and the signature of its `_target_` says which values are right.
"""

import copy
import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pydantic
import yaml
from annotated_types import Ge, Le, Len
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segtrain.prediction.choices import FormatChoice, TtaChoice
from segtrain.signatures import Signature, read_signature
from segtrain.targets import TargetError, require_allowed_targets
from segtrain.training.convention import MetricConvention
from segtrain.training.epoch_log import EPOCH_COLUMNS

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
    "callbacks": {"folder", "validation", "evaluator", "describe_step"},
    "trainer": set(),
}
# Settings of a dataset that say where its files are.
PATHS_OF_DATA = ("root", "archive", "manual_folder", "mask_folder")
# What the run itself reads of an option, whatever its builder: conf/config.yaml has the defaults.
READ_BY_RUN = {
    "dataset": {
        "on_bad_sample": Literal["fail", "skip"],
        "max_bad_share": Annotated[float, Ge(0), Le(1)],
    }
}
# Values under these keys are code to call or how to call it, never arguments of it.
_INSTANTIATION_KEYS = {"_target_", "_convert_", "_recursive_", "_partial_", "_args_"}


class ConfigError(ValueError):
    """A config that cannot be run; the message says where, what was received and what would work."""


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


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep runs its jobs; see conf/config.yaml."""

    fail_fast: bool
    own_process: bool | Literal["auto"]
    one_gpu_each: bool


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
    """A sweep to compare. See conf/compare.yaml."""

    run: str


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings(TrainSettings):
    """What to time. See conf/benchmark.yaml."""

    rounds: Annotated[int, Ge(1)]
    measure: Annotated[
        list[Literal["run", "xla", "pooling_pair", "networks", "pipelines", "disk_cache", "start_up"]], Len(1)
    ]


@dataclass(frozen=True, kw_only=True)
class SummarySettings(TrainSettings):
    """A network to sum up, of which no data is read: the dataset's files need not be named. See conf/summary.yaml."""

    num_classes: Annotated[int, Ge(2), Le(255)] | None
    channels: Annotated[int, Ge(1)]


Settings = TrainSettings | EvaluateSettings | PredictSettings | CompareSettings | ResumeSettings


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
    _refuse_unknown(config, types, prefix="")
    try:
        if "image_size" in config and config.image_size is None:
            _refuse_references_to_image_size(config)
        if schema is SummarySettings:
            config = _without_missing_files(config)
        _require_all(config, types)
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    # Settings of the whole run first: options refer to them.
    for key in [key for key in types if key not in GIVEN_BY_RUN]:
        _check_value(key, values[key], types[key])
    if values.get("sweep") is not None:
        _check_sweep(values["sweep"])
    _check_targets(values, allow_targets)
    for key in [key for key in types if key in GIVEN_BY_RUN]:
        if key == "callbacks":
            _check_value(key, values[key], dict[str, Any])
        options = values[key].items() if key == "callbacks" else [("", values[key])]
        for name, option in options:
            _check_option(f"{key}.{name}".rstrip("."), option, GIVEN_BY_RUN[key], READ_BY_RUN.get(key, {}))
    if issubclass(schema, TrainSettings):
        _check_together(values)
    settings = schema(**{field.name: values[field.name] for field in fields(schema)})
    if isinstance(settings, EvaluateSettings | PredictSettings):
        _check_windows(settings)
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
    _check_option(where, {**arguments, "_target_": target}, given=set())


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
    for key in ("model.weights", "model.encoder.weights"):
        weights = OmegaConf.select(resolved, key)
        if isinstance(weights, str) and weights != "imagenet":
            OmegaConf.update(resolved, key, str(Path(weights).expanduser().resolve()))
    return resolved


def suggest(word: str, known: Iterable[str]) -> str:
    """Returns " Did you mean '...'?" for the nearest of the known words, or nothing."""
    nearest = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""


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
    """Returns ": " and what the builder's docstring says of the missing setting, where it does."""
    group, _, name = key.partition(".")
    option = OmegaConf.select(config, group) if name else None
    signature = read_signature(option["_target_"]) if isinstance(option, DictConfig) and "_target_" in option else None
    parameter = signature.parameters.get(name) if signature else None
    return f": {parameter.description.rstrip('.')}" if parameter and parameter.description else ""


def _check_sweep(sweep: Mapping[str, Any]) -> None:
    types = get_type_hints(SweepSettings, include_extras=True)
    _refuse_unknown(sweep, types, prefix="sweep.")
    for key, value in sweep.items():
        _check_value(f"sweep.{key}", value, types[key])


def _check_targets(values: Mapping[str, Any], allow_targets: Sequence[str]) -> None:
    untyped = [target for target in values.get("allow_targets") or () if target not in allow_targets]
    if untyped:
        raise ConfigError(
            f"allow_targets: a config file says so, and it has to be typed. If you trust that code, type "
            f"allow_targets=[{','.join(untyped)}]."
        )
    try:
        for key in values.keys() & GIVEN_BY_RUN.keys():
            require_allowed_targets(values[key], key, allow_targets)
    except TargetError as error:
        raise ConfigError(str(error)) from error


def _check_option(where: str, option: Any, given: set[str], of_run: Mapping[str, Any] | None = None) -> None:
    """Checks one option of a group, and whatever is nested in it."""
    if not isinstance(option, Mapping) or not isinstance(option.get("_target_"), str):
        raise ConfigError(f"{where}: needs a _target_, the dotted name of what to call. Received: {_shown(option)}.")
    of_run = of_run or {}
    for key in of_run.keys() & option.keys():
        _check_value(f"{where}.{key}", option[key], of_run[key])
    try:
        signature = read_signature(option["_target_"])
    except ValueError as error:
        raise ConfigError(f"{where}._target_={option['_target_']}: {error}") from error
    if signature is None:
        return  # what its source does not tell is found when it is called
    arguments = {key: value for key, value in option.items() if key not in {*_INSTANTIATION_KEYS, *of_run}}
    for key in given & set(arguments):
        raise ConfigError(
            f"{where}.{key}: is set by the run itself, from the dataset and the other settings. Leave it out."
        )
    if not signature.takes_any:
        settable = [*(name for name in signature.parameters if name not in given), *of_run]
        # Of a library's, the name is what to look up in its manual.
        owner = "here" if option["_target_"].startswith("segtrain.") else f"of {option['_target_']}"
        _refuse_unknown(arguments, settable, prefix=f"{where}.", owner=owner)
    _check_arguments(where, arguments, signature, given)


def _check_arguments(where: str, arguments: Mapping[str, Any], signature: Signature, given: set[str]) -> None:
    for key, value in arguments.items():
        expected = signature.parameters[key].type if key in signature.parameters else Any
        _check_value(f"{where}.{key}", value, expected)
        if isinstance(value, Mapping) and "_target_" in value:
            # What is told to the outer builder, it tells to this one: a model its encoder's channels, say.
            _check_option(f"{where}.{key}", value, given)
            continue
        # A parameter that is a mapping takes further options by names of the user's choice.
        takes_options = get_origin(expected) is Mapping
        named = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        for name, nested in named:
            if takes_options or (isinstance(nested, Mapping) and "_target_" in nested):
                _check_option(f"{where}.{key}.{name}", nested, given=set())


def _check_value(where: str, value: Any, expected: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}={_shown(value)}: has to be a finite number.")
    try:
        # In JSON mode a list may be a tuple and an int a float, but "3" is no number, and true is none either.
        pydantic.TypeAdapter(expected).validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        # A union reports each of its members; the one that came furthest, or else the first, is what was meant.
        deepest = max(len(item["loc"]) for item in error.errors())
        details = [item for item in error.errors() if len(item["loc"]) == deepest]
        detail = max(details, key=lambda item: (item["type"] in _RANGE_ERRORS, item["type"] != "none_required"))
        raise ConfigError(f"{where}={_shown(value)}: {_worded(detail, details, value, expected)}") from None


_RANGE_ERRORS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "too_long", "too_short"}
_NOUNS = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list, such as [a,b]",
    "dict_type": "settings (key: value)",
    "none_required": "null",
}


def _worded(detail: Mapping[str, Any], details: list, value: Any, expected: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "literal_error":
        choices = _choices(detail)
        return f"has to be {choices}.{suggest(str(detail['input']), choices.replace(' or ', ', ').split(', '))}"
    if kind == "missing":
        return f"has to be a list of {len(get_args(expected))} values. Received {len(value)}."
    if kind in ("too_long", "too_short"):
        length = context.get("max_length", context.get("min_length"))
        at_least = "at least " if len(value) < length and _has_no_longest(expected) else ""
        return f"has to be a list of {at_least}{length} values. Received {context['actual_length']}."
    if kind in _RANGE_ERRORS:
        return detail["msg"].replace("Input should be", "has to be") + "."
    nouns = list(dict.fromkeys(_noun(item, expected) for item in details))
    return f"has to be {' or '.join(nouns)}. Received {type(value).__name__}."


def _noun(detail: Mapping[str, Any], expected: Any) -> str:
    if detail["type"] == "list_type":
        example = next((value for value in _literals(expected)), "a,b")
        return f"a list, such as [{example}]"
    return _NOUNS.get(detail["type"]) or _choices(detail)


def _literals(expected: Any) -> Iterator[Any]:
    """Yields the values of the first choice that a type holds."""
    for inner in get_args(expected):
        yield from get_args(expected) if get_origin(expected) is Literal else _literals(inner)


def _has_no_longest(expected: Any) -> bool:
    return any(isinstance(each, Len) and each.max_length is None for each in get_args(expected))


def _choices(detail: Mapping[str, Any]) -> str:
    is_choice = detail["type"] == "literal_error"
    return detail["ctx"]["expected"].replace("'", "") if is_choice else detail["msg"]


def _refuse_unknown(values: Iterable[str], known: Iterable[str], prefix: str, owner: str = "here") -> None:
    for key in values:
        if key not in known:
            raise ConfigError(
                f"{prefix}{key}: there is no such setting.{suggest(key, known)} "
                f"Settings {owner}: {', '.join(known) or 'none'}."
            )


def _check_together(values: Mapping[str, Any]) -> None:
    """Refuses settings that are right on their own and wrong together."""
    for name, option in values["callbacks"].items():
        monitor = option.get("monitor", EPOCH_COLUMNS[0])
        if monitor not in EPOCH_COLUMNS:
            raise ConfigError(
                f"callbacks.{name}.monitor={monitor}: nothing of that name is measured."
                f"{suggest(str(monitor), EPOCH_COLUMNS)} Choices: {', '.join(EPOCH_COLUMNS[1:])}."
            )
    targets = {name: str(option["_target_"]) for name, option in values["callbacks"].items()}
    checkpoints = [name for name, target in targets.items() if target.endswith(".checkpoint.Checkpoint")]
    if len(checkpoints) > 1:
        first, second = checkpoints[:2]
        raise ConfigError(f"callbacks.{second}: writes the files that callbacks.{first} writes. Leave one out.")
    if "learning_rate" not in values["optimizer"]:
        raise ConfigError("optimizer.learning_rate is required: the schedule starts from it. Leave ~optimizer... out.")
    is_constant = values["schedule"]["_target_"].endswith("build_constant")
    if "keras.callbacks.ReduceLROnPlateau" in targets.values() and not is_constant:
        raise ConfigError(
            "callbacks.reduce_on_plateau changes the learning rate itself. Type schedule=constant with it."
        )
    if values["image_size"] is None:
        _check_own_sizes(values)


def _check_windows(settings: EvaluateSettings | PredictSettings) -> None:
    """Refuses settings that would do nothing."""
    if settings.overlap != 0.5 and settings.sliding_window is None:
        raise ConfigError(
            f"overlap={settings.overlap}: is that of windows, and there are none. Type sliding_window=[HEIGHT,WIDTH] "
            "with it, or leave it out."
        )
    if isinstance(settings, EvaluateSettings) and settings.batch_size is not None and settings.sees_images_one_by_one:
        raise ConfigError(
            f"batch_size={settings.batch_size}: scale=original, tta and sliding_window take images one by one. "
            "Leave batch_size out."
        )


def _check_own_sizes(values: Mapping[str, Any]) -> None:
    """Refuses what `image_size=null` cannot be combined with."""
    trainer, measure = values["trainer"], values.get("measure", [])
    other_parts = [part for part in measure if part != "xla"] or ["run"]
    refused = (
        ("batch_size", values["batch_size"] != 1, "images of different sizes make no batch", "batch_size=1"),
        (
            "dataset.resize",
            values["dataset"].get("resize", "stretch") != "stretch",
            "there is no size to bring them to",
            "dataset.resize=stretch, which does nothing then",
        ),
        (
            "trainer.strategy",
            trainer.get("strategy", "auto") not in ("auto", "one"),
            "a batch of one cannot be divided among devices",
            "trainer.strategy=one",
        ),
        ("trainer.jit", trainer.get("jit") is True, "XLA would compile for every size", "trainer.jit=false"),
        ("measure", "xla" in measure, "XLA would compile for every size", f"measure=[{','.join(other_parts)}]"),
    )
    for setting, is_wrong, reason, instead in refused:
        if is_wrong:
            group, _, name = setting.partition(".")
            received = values[group][name] if name else values[group]
            raise ConfigError(
                f"{setting}={_shown(received)}: image_size=null leaves images at their own sizes, and {reason}. "
                f"Type {instead}, or image_size=[HEIGHT,WIDTH]."
            )


def _refuse_references_to_image_size(config: DictConfig) -> None:
    """Refuses settings that are `${image_size}`, which is null, before their own types do."""
    for where, value in leaves(OmegaConf.to_container(config)):
        if isinstance(value, str) and re.search(r"\$\{image_size\b", value):
            group = where.partition(".")[0]
            other = "augmentation=flip or augmentation=none" if group == "augmentation" else f"another {where}"
            raise ConfigError(
                f"{where}: is taken from image_size, and image_size=null leaves images at their own sizes. "
                f"Type {other}, or image_size=[HEIGHT,WIDTH]."
            )


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each value that holds no others, with the dotted name of where it stands."""
    if not isinstance(value, Mapping | list):
        yield where, value
        return
    for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from leaves(inner, f"{where}.{key}".lstrip("."))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
