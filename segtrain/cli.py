"""The command: verbs, Hydra, and an answer to every mistake. Imports no TensorFlow."""

import contextlib
import functools
import gc
import hashlib
import importlib
import itertools
import logging
import os
import re
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from segtrain.out_of_memory import OutOfMemoryError
from segtrain.prediction.unreadable import UnreadableFilesError
from segtrain.resumption import plan_resumption
from segtrain.run_folder import RunFolder, try_folder
from segtrain.settings import (
    BenchmarkSettings,
    CompareSettings,
    ConfigError,
    EvaluateSettings,
    PredictSettings,
    ResumeSettings,
    SummarySettings,
    TrainSettings,
    read_settings,
    suggest,
)
from segtrain.sweeps import optuna_sweeper
from segtrain.sweeps.going_on import arguments_of_sweep, is_sweep
from segtrain.sweeps.search_space import check_sweep
from segtrain.targets import TargetError, require_allowed_hydra
from segtrain.training.signals import Interrupted
from segtrain.verbs.invocation import Invocation

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
CONFIG_NAMES = {verb: verb for verb in SCHEMAS} | {"train": "config"}
# Settings whose values are paths, or slices such as train[:80%]: what a person types there is quoted for Hydra, whose
# grammar knows `,`, `=` and brackets.
PATH_KEYS = re.compile(
    r"\+{0,2}(run|input|output|hydra\.run\.dir|hydra\.sweep\.dir"
    r"|model\.(encoder\.)?weights|[\w.]+\.(root|path|archive|\w+_folder|(\w+_)?(images|masks|annotations)|(train|val)_split))$"
)
# `input=[a.jpg,my photo.jpg,"b,c.jpg"]` is a list of paths; a glob has brackets that hold others, or ends after them.
QUOTES = "'\""
LISTED_PATH = re.compile(r"""\s*('(\\.|[^'\\])*'|"(\\.|[^"\\])*"|[^\s\[\],'"][^\[\],]*)\s*""")
PATH_LIST = re.compile(rf"\[{LISTED_PATH.pattern}(,{LISTED_PATH.pattern})*\]")
# What is typed after a verb is a setting if it looks like this, and else the path of a run, which may hold a "=" too.
SETTING = re.compile(r"[+~]*(hydra/)?[A-Za-z_][\w.@]*=")
# How mistakes in data and settings are told: in words for whoever made them.
MISTAKES = (ValueError, TypeError, OSError, FloatingPointError, OutOfMemoryError)
STATUS_OF_USAGE_ERROR = 2
STATUS_OF_UNREADABLE_FILES = 3
STATUS_OF_INTERRUPT = 130


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line.

    Exits with 0, 1 (the run failed), 2 (the command line is wrong), 3 (predicted, but for files that are unreadable) or
    128 + the number of the signal that ended it.
    """
    if arguments is None and sys.getfilesystemencoding() != "utf-8":
        # TensorFlow takes no names that are anything else, and Python decides it once, when it starts.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})
    typed = sys.argv[1:] if arguments is None else arguments
    verb, arguments = _split_verb(typed)
    sweeping = _parse(arguments)[0].multirun
    arguments = [_quote_path(argument, sweeping) for argument in _with_absolute_config_path(arguments)]
    parsed, unknown = _parse(arguments)
    goes_on = False
    if verb == "resume":
        if sweep := _named_sweep(parsed.overrides):
            verb, goes_on, arguments = "train", True, _as_sweep(sweep, parsed.overrides)
        else:
            arguments = _as_changes_of_a_run(arguments, parsed.overrides)
        parsed, unknown = _parse(arguments)
    if parsed.shell_completion:
        verb = _verb_to_complete()
    config_name = parsed.config_name or CONFIG_NAMES[verb]
    allow_targets = _typed_allowance(parsed.overrides)
    asks_only = parsed.help or parsed.hydra_help or parsed.info or parsed.shell_completion
    # Hydra's plugins have configs of the same names as ours, which name all their settings.
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
    try:
        if unknown:
            raise ConfigError(f"{unknown[0]}: there is no such option. See segtrain --hydra-help.")
        if not asks_only:
            output = _check_command_line(verb, config_name, parsed, allow_targets)
            arguments += _claimed(*output) if output and parsed.cfg is None else []
    except ConfigError as error:
        _refuse(error)
    sys.argv = [sys.argv[0], *arguments]
    logging.raiseExceptions = False  # on a full disk each line of the log would come with a traceback
    task = {"verb": verb, "command": shlex.join(["segtrain", *typed]), "allow_targets": allow_targets}
    task = functools.partial(_do, task | {"goes_on": goes_on})
    task.__module__, task.__name__ = __name__, "segtrain"  # Hydra names the application by them
    optuna_sweeper.register()
    hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(task)()


def config_folder() -> Path:
    """Returns the folder of the configs: the package's own, or in a checkout the one beside the package."""
    package = Path(__file__).resolve().parent
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


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


def _split_verb(arguments: list[str]) -> tuple[str, list[str]]:
    """Returns the verb, `train` where none is typed, and the rest; a bare path after a verb becomes `run=PATH`."""
    if not arguments or arguments[0].startswith("-") or "=" in arguments[0] or arguments[0].startswith("~"):
        return "train", arguments
    verb, *rest = arguments
    if verb not in SCHEMAS:
        _refuse(
            f"{verb}: there is no such verb.{suggest(verb, SCHEMAS)} Verbs: {', '.join(SCHEMAS)}. "
            "A setting is typed as key=value."
        )
    if rest and verb != "train" and not rest[0].startswith("-") and not SETTING.match(rest[0]):
        if "run" in SCHEMAS[verb].__dataclass_fields__:
            rest = [f"run={rest[0]}", *rest[1:]]
        elif not rest[0].startswith("~"):  # which takes a setting away
            _refuse(f"{rest[0]}: {verb} takes settings (key=value), no run. Type segtrain {verb} --help.")
    return verb, rest


def _parse(arguments: list[str]) -> tuple[Any, list[str]]:
    """Returns what Hydra's options are set to, with the overrides, and the options that it does not know."""
    parser = get_args_parser()
    # Its own would print the usage as well.
    parser.error = lambda message: _refuse(f"{message}. See segtrain --hydra-help.")
    return parser.parse_known_args(arguments)


def _with_absolute_config_path(arguments: list[str]) -> list[str]:
    """Returns the arguments with `--config-path` counted from here; Hydra counts it from the package's own folder."""
    result = list(arguments)
    for place, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in ("--config-path", "-cp"):
            if not equals:
                place, option, value = place + 1, "", "".join(arguments[place + 1 : place + 2])
            if Path(value).is_dir():
                result[place] = f"{option}{equals}{Path(value).resolve()}"
    return result


def _quote_path(argument: str, sweeping: bool) -> str:
    key, equals, value = argument.partition("=")
    # In a sweep a comma separates values; what is quoted or interpolated already is left as it is.
    as_typed = value[:1] in "'\"" or "${" in value or (sweeping and "," in value)
    if not equals or not PATH_KEYS.match(key) or as_typed or value in ("", "null", "???"):
        return argument
    if key == "input" and PATH_LIST.fullmatch(value) and not os.path.exists(value):
        paths = (path[0].strip() for path in LISTED_PATH.finditer(value[1:-1]))
        return f"{key}=[{','.join(path if path[0] in QUOTES else _quoted(path) for path in paths)}]"
    return f"{key}={_quoted(value)}"


def _as_changes_of_a_run(arguments: list[str], overrides: list[str]) -> list[str]:
    """Returns the arguments with the settings that are not resume's own as its one setting `overrides`."""
    own = re.compile(r"[+~]*(run=|overrides=|allow_targets=|hydra[./])")
    changes = [override for override in overrides if not own.match(override)]
    if not changes:
        return arguments
    others = [argument for argument in arguments if argument not in changes]
    return [*others, f"overrides=[{','.join(map(_quoted, changes))}]"]


def _named_sweep(overrides: list[str]) -> Path | None:
    """Returns the folder that `run=` names, where it is a sweep's."""
    with contextlib.suppress(HydraException):
        for override in OverridesParser.create().parse_overrides(overrides):
            if override.key_or_group == "run" and is_sweep(Path(str(override.value())).expanduser()):
                return Path(str(override.value())).expanduser()
    return None


def _as_sweep(sweep: Path, overrides: list[str]) -> list[str]:
    try:
        return arguments_of_sweep(sweep, [each for each in overrides if not each.startswith("run=")], _quoted)
    except ConfigError as error:
        _refuse(error)


def _quoted(text: str) -> str:
    # Hydra takes a backslash for itself, except before a quote: there, and at the end, it has to be doubled.
    escaped = re.sub(r"(\\+)(?='|$)", r"\1\1", text).replace("'", "\\'")
    return f"'{escaped}'"


def _check_command_line(verb: str, config_name: str, parsed: Any, allow_targets: list[str]) -> tuple[str, Path] | None:
    """Composes the config, or every job's of a sweep, and checks it before anything heavy is imported.

    Returns:
        Where the setting of the output folder holds the time: its name, and the folder of now.

    Raises:
        ConfigError: what is wrong, in a line.
    """
    for option, value in (("--config-dir", parsed.config_dir), ("--config-path", parsed.config_path)):
        if value and not Path(value).is_dir():
            raise ConfigError(f"{option} {value}: there is no such folder.")
    if parsed.multirun and verb != "train":
        raise ConfigError(f"-m: sweeps are for training. Type segtrain {verb} once for each run.")
    if parsed.resolve and not parsed.cfg:
        raise ConfigError("--resolve: goes with --cfg. Type segtrain --cfg job --resolve.")
    search = (
        [f"hydra.searchpath=[{_quoted(f'file://{Path(parsed.config_dir).resolve()}')}]"] if parsed.config_dir else []
    )
    folder = Path(parsed.config_path).resolve() if parsed.config_path else config_folder()
    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        for overrides in _jobs_to_check(parsed.overrides, sweeping=parsed.multirun):
            config = _compose(verb, config_name, [*overrides, *search])
            whole = config.copy()
            OmegaConf.set_struct(config, False)
            _check_hydra(config)
            del config["hydra"]
            if parsed.cfg is None:
                settings = read_settings(config, SCHEMAS[verb], allow_targets)
                if isinstance(settings, ResumeSettings):
                    # Before Hydra makes the folder, where there is none.
                    plan_resumption(settings.run, settings.overrides, settings.allow_targets)
                _require_writable(_output_folder(whole, parsed.multirun))
        if parsed.multirun:
            check_sweep(whole.hydra.sweeper, parsed.overrides, GlobalHydra.instance().config_loader())
        output = _output_folder(whole, parsed.multirun)
    kind = "sweep" if parsed.multirun else "run"
    is_of_now = "${now:" in str(OmegaConf.to_container(whole.hydra)[kind]["dir"])
    return (f"hydra.{kind}.dir", output) if is_of_now else None


def _claimed(setting: str, folder: Path) -> list[str]:
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
            return [f"{setting}={_quoted(str(mine))}"]


def _check_hydra(config: DictConfig) -> None:
    try:
        require_allowed_hydra(OmegaConf.to_container(config.hydra))
    except TargetError as error:
        raise ConfigError(str(error)) from error


def _typed_allowance(overrides: list[str]) -> list[str]:
    """Returns what the command line itself says of `allow_targets`, for any job of a sweep."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException:  # told when the config is composed
        return []
    values = [override.value() for override in parsed if override.key_or_group == "allow_targets"]
    lists = [value if isinstance(value, list) else [value] for value in values]
    return [str(target) for targets in lists for target in targets]


def _jobs_to_check(overrides: list[str], sweeping: bool) -> Iterator[list[str]]:
    """Yields command lines that between them hold every value of a sweep: their number is the sum, not the product."""
    try:
        # The loader is what a glob over options asks for their names.
        parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(_one_line(error)) from error
    choices = [[override.input_line] for override in parsed]
    for place, override in enumerate(parsed):
        if not override.is_sweep_override():
            continue
        if not sweeping:
            raise ConfigError(
                f"{override.input_line}: several values make a sweep. Type segtrain -m {override.input_line}."
            )
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
    first = [values[0] for values in choices]
    yield first
    for place, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:place], value, *first[place + 1 :]]


def _compose(verb: str, config_name: str, overrides: list[str]) -> DictConfig:
    try:
        return hydra.compose(config_name, overrides, return_hydra_config=True)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{where}{error.problem}.") from error
    except Exception as error:  # what Hydra stumbles over in odd YAML is of every kind
        raise ConfigError(_worded(error, verb, overrides)) from error


def _worded(error: Exception, verb: str, overrides: list[str]) -> str:
    """Words Hydra's errors in one line, with the nearest right spelling."""
    missing = getattr(error, "missing_cfg_file", None)
    if missing is not None:
        group, _, option = missing.rpartition("/")
        options = getattr(error, "options", None) or GlobalHydra.instance().config_loader().get_group_options(group)
        if group:
            return (
                f"{group}={option}: there is no such option.{suggest(option, options)} Options: {', '.join(options)}."
            )
        return (
            f"--config-name {option}: there is no such config.{suggest(option, options)} Configs: {', '.join(options)}."
        )
    cause = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
        known = [str(key) for key in cause.parent_node if key not in ("hydra", "_target_")]
        where = f" in {cause.full_key.rpartition('.')[0]}" if "." in cause.full_key else ""
        return (
            f"{cause.full_key}: there is no such setting.{suggest(str(cause.key), known)} "
            f"Settings{where or ' here'}: {', '.join(known)}."
        )
    wrong_group = re.search(r"Could not override '([^']+)'", str(error))
    if wrong_group:
        known = [field.name for field in fields(SCHEMAS[verb])]
        key = wrong_group[1]
        if key == "model/encoder":
            models = (path for path in (config_folder() / "model").glob("*.yaml") if "- encoder:" in path.read_text())
            typed = next(each for each in overrides if key in each)
            return f"{typed}: this model has no encoder. Models with one: {', '.join(sorted(p.stem for p in models))}."
        return f"{key}: there is no such setting.{suggest(key, known)} Settings: {', '.join(known)}."
    if "Config group override must be a string" in str(error):
        return f"{_groups_without_option(overrides)}: has to name an option, such as model=segnet."
    return _one_line(error)


def _groups_without_option(overrides: list[str]) -> str:
    parsed = OverridesParser.create().parse_overrides(overrides)
    return ", ".join(each.input_line for each in parsed if not isinstance(each.value(), str | list)) or "the option"


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _output_folder(config: DictConfig, multirun: bool) -> Path:
    name = "hydra.sweep.dir" if multirun else "hydra.run.dir"
    try:
        folder = OmegaConf.select(config, name)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{name}: {_one_line(error)}") from error
    if not folder:
        raise ConfigError(f"{name} has to name a folder. Leave it out for outputs/<date>/<time>.")
    return Path(str(folder))


def _require_writable(folder: Path) -> None:
    try:
        try_folder(folder)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"The run's folder {folder} cannot be made: {reason}. Type hydra.run.dir=FOLDER.") from error


def _do(task: dict[str, Any], config: DictConfig) -> Any:
    """What Hydra calls, in a worker's process for parallel sweeps."""
    if HydraConfig.get().mode == RunMode.RUN:
        return run_task(**task, config=config)
    from segtrain.sweeps.job import run_job

    return run_job(run_task, task, config)


def run_task(*, verb: str, command: str, allow_targets: list[str], goes_on: bool, config: DictConfig) -> Any:
    """Does what the verb says, in the folder Hydra made.

    Args:
        verb: the verb.
        command: the command line as typed.
        allow_targets: what was typed of that name.
        goes_on: a job of a sweep that was begun before.
        config: as composed.

    Returns:
        What a sweep compares.
    """
    hydra_config = HydraConfig.get()
    # Importing TensorFlow and tracing a network make millions of objects that stay; looking through them for garbage
    # every few hundred is a tenth of the time to the first step.
    gc.set_threshold(100_000, 20, 100)
    try:
        settings = read_settings(config, SCHEMAS[verb], allow_targets)
        invocation = Invocation(RunFolder(hydra_config.runtime.output_dir), config, command)
        if goes_on:
            from segtrain.sweeps.job import go_on_with_job

            return go_on_with_job(settings, invocation)
        module = importlib.import_module(f"segtrain.verbs.{verb}")
        return getattr(module, verb)(settings, invocation)
    except Interrupted as error:
        _complain(error)
        logging.shutdown()
        sys.stdout.flush()
        # At once: Python takes seconds to clear a network away, and waits for what is still being read.
        os._exit(error.status)
    except KeyboardInterrupt:
        _complain("interrupted; what the run has written so far is in " + hydra_config.runtime.output_dir)
        sys.exit(STATUS_OF_INTERRUPT)
    except UnreadableFilesError as error:
        with contextlib.suppress(OSError):
            error.write_log()
        _complain(error)
        sys.exit(STATUS_OF_UNREADABLE_FILES)
    except Exception as error:
        # The log has the way there. The other jobs of a sweep go on; the comparison counts this one as failed.
        folder = RunFolder(hydra_config.runtime.output_dir)
        log = folder.log
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        _complain(error if isinstance(error, MISTAKES) else _unexpected(error, log))
        if hydra_config.mode == RunMode.RUN:
            sys.exit(1)
        if not folder.results.is_file():  # a job that has not come as far as to say so itself
            folder.write_results({"status": "failed", "error": f"{type(error).__name__}: {error}"})
        return None
    finally:
        if hydra_config.mode == RunMode.MULTIRUN:
            gc.collect()  # networks refer to themselves, and the next job needs their memory


def _unexpected(error: Exception, log: Path) -> str:
    return f"{type(error).__name__}: {_one_line(error)} (unexpected; the traceback is in {log})"


def _complain(message: object) -> None:
    print(f"segtrain: error: {message}", file=sys.stderr)


def _refuse(message: object) -> NoReturn:
    """Ends with what is wrong with the command line: in one line, whatever was typed and is repeated in it."""
    _complain(" ".join(str(message).splitlines()))
    sys.exit(STATUS_OF_USAGE_ERROR)


def _verb_to_complete() -> str:
    """Returns the verb of the line that the shell completes, and hides it from Hydra, which knows no verbs.

    Where the first word is still being typed, offers the verbs beside what Hydra offers.
    """
    line = os.environ.get("COMP_LINE", "")
    typed = re.match(r"(\S+\s+)([a-z]*)(\s|$)", line)
    if not typed:
        return "train"
    program, word, space = typed.groups()
    if not space:
        print(*(verb for verb in SCHEMAS if verb.startswith(word)))
    if not space or word not in SCHEMAS:
        return "train"
    rest = line[typed.end() :]
    bare_path = re.match(r"(\S+)\s", rest)
    if bare_path and not SETTING.match(bare_path[1]):
        rest = rest[bare_path.end() :]
    cursor_from_end = len(line) - int(os.environ.get("COMP_POINT", len(line)))
    os.environ["COMP_LINE"] = program + rest
    os.environ["COMP_POINT"] = str(len(program + rest) - cursor_from_end)
    return word
