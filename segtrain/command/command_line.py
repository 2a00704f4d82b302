"""What a person types, taken apart: the verb, the settings, and Hydra's options, in any order."""

import contextlib
import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from segtrain import __version__
from segtrain.command.typed_paths import quote_path, quoted
from segtrain.config_error import ConfigError, suggest
from segtrain.settings import SCHEMAS
from segtrain.sweeps.going_on import arguments_of_sweep, is_sweep

# What is typed after a verb is a setting if it looks like this, and else the path of a run, which may hold a "=" too.
SETTING = re.compile(r"[+~]*(hydra/)?[A-Za-z_][\w.@]*=")


@dataclass(frozen=True)
class CommandLine:
    """A command line as Hydra can take it.

    Attributes:
        verb: `train` where none is typed.
        options: Hydra's options as typed.
        overrides: the settings, with paths quoted.
        parsed: what Hydra's parser makes of the options.
        about: the words after `--help` that are no settings.
        goes_on: whether it is a sweep that was begun before, in its own folder.
        begun_in: the folder in which that sweep was begun: what is relative counts from there.
        of_file: of the settings, those that the sweep's folder tells, which nobody has typed now.
    """

    verb: str
    options: Sequence[str]
    overrides: Sequence[str]
    parsed: Any
    about: Sequence[str] = ()
    goes_on: bool = False
    begun_in: Path | None = None
    of_file: Sequence[str] = ()

    @property
    def typed(self) -> list[str]:
        """The settings that somebody has typed now."""
        return [override for override in self.overrides if override not in self.of_file]

    @property
    def is_question(self) -> bool:
        """Whether it asks for an answer of Hydra's, and runs nothing."""
        asked = self.parsed
        return bool(asked.help or asked.hydra_help or asked.info or asked.shell_completion or asked.cfg)

    @property
    def is_plain_question(self) -> bool:
        """Whether it is a question with nothing in it that could be wrong."""
        asked = self.parsed
        configs = (asked.config_name, asked.config_dir, asked.config_path)
        return asked.shell_completion or (self.is_question and not self.overrides and not any(configs))


def read_command_line(typed: Sequence[str]) -> CommandLine:
    """Takes a command line apart.

    Raises:
        ConfigError: there is no such verb or option, or a word is no setting.
    """
    parsed, words = _parse(typed)
    options = _left_over(typed, words)
    if parsed.help:
        verb, settings, about = _asked_about(words)
    else:
        verb, settings = _split_verb(words)
        about = ()
    for word in settings:
        if _is_word(word) or word.startswith("="):
            raise ConfigError(f"{word}: a setting is typed as key=value{_takes(verb)}.")
    lists = ("run",) if verb == "compare" else ("input",)
    overrides = [quote_path(setting, parsed.multirun, lists) for setting in settings]
    line = CommandLine(verb, _with_absolute_config_path(options), overrides, parsed, about)
    if verb != "resume":
        return line
    if not line.is_question and (sweep := _named_sweep(overrides)) is not None:
        changes = [override for override in overrides if not override.startswith("run=")]
        arguments, begun_in = arguments_of_sweep(sweep, changes)
        begun = read_command_line([*options, *arguments])
        of_file = [each for each in begun.overrides if each not in changes]
        return replace(begun, goes_on=True, begun_in=begun_in, of_file=of_file)
    return replace(line, overrides=_as_changes_of_a_run(overrides))


def _parse(typed: Sequence[str]) -> tuple[Any, list[str]]:
    """Returns what Hydra's options are set to, and the words beside them."""

    def refuse(message: str) -> NoReturn:  # argparse's own would print the usage as well
        raise ConfigError(f"{message}. See segtrain --hydra-help.")

    parser = get_args_parser()
    parser.error = refuse
    for action in parser._actions:
        if "--version" in action.option_strings:
            action.version = f"segtrain {__version__}, {action.version}"
    parsed, unknown = parser.parse_known_intermixed_args(typed)
    if unknown:
        name, _, value = unknown[0].lstrip("-").partition("=")
        instead = f" A setting is typed without dashes: {name}={value or 'VALUE'}." if name.isidentifier() else ""
        raise ConfigError(f"{unknown[0]}: there is no such option.{instead} See segtrain --hydra-help.")
    words = parsed.overrides
    if parsed.shell_completion and not re.fullmatch(
        r"(un)?install=(bash|zsh|fish)|query=(bash|zsh|fish)", " ".join(words)
    ):
        raise ConfigError("--shell-completion: type segtrain -sc install=bash (or zsh, fish), or uninstall=bash.")
    modes = {"--cfg": parsed.cfg, "--info": parsed.info, "--multirun": parsed.multirun, "--run": parsed.run}
    several = [option for option, value in modes.items() if value]
    if len(several) > 1:
        raise ConfigError(f"{' and '.join(several)}: go one at a time. Leave one out.")
    if parsed.experimental_rerun:
        raise ConfigError(
            "--experimental-rerun: reads a pickle, which may run code. Type segtrain --config-path FOLDER_OF_RUN."
        )
    return parsed, parsed.overrides


def _left_over(typed: Sequence[str], words: Sequence[str]) -> list[str]:
    """Returns what was typed without the words."""
    left = list(reversed(typed))
    for word in reversed(words):
        left.remove(word)
    return left[::-1]


def _is_word(text: str) -> bool:
    return "=" not in text and not text.startswith("~")


def _split_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the verb and the rest; a bare path after a verb becomes `run=PATH`, several after compare `run=[...]`."""
    if not words or not _is_word(words[0]):
        return "train", list(words)
    verb, *rest = words
    if verb not in SCHEMAS:
        raise ConfigError(
            f"{verb}: there is no such verb.{suggest(verb, SCHEMAS)} Verbs: {', '.join(SCHEMAS)}. "
            "A setting is typed as key=value."
        )
    if rest and verb != "train" and not SETTING.match(rest[0]):
        if verb == "compare":
            paths = list(itertools.takewhile(lambda word: not SETTING.match(word), rest))
            rest = [f"run={_one_or_several(paths)}", *rest[len(paths) :]]
        elif "run" in SCHEMAS[verb].__dataclass_fields__:
            rest = [f"run={rest[0]}", *rest[1:]]
        elif not rest[0].startswith("~"):  # which takes a setting away
            raise ConfigError(f"{rest[0]}: {verb} takes settings (key=value), no run. Type segtrain {verb} --help.")
    return verb, rest


def _one_or_several(paths: Sequence[str]) -> str:
    if len(paths) > 1:
        return f"[{','.join(map(quoted, paths))}]"
    return quoted(paths[0]) if paths[0].startswith("[") else paths[0]  # which is no list then


def _takes(verb: str) -> str:
    if verb == "compare":
        return ", and compare takes its runs first"
    return f", and {verb} takes one run" if "run" in SCHEMAS[verb].__dataclass_fields__ else ""


def _asked_about(words: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """Returns verb, settings and other words of a line with `--help`, before which or after which they may stand."""
    about = [word for word in words if _is_word(word)]
    verb = next((word for word in about if word in SCHEMAS), "train")
    settings = [word for word in words if not _is_word(word)]
    return verb, settings, [word for word in about if word not in SCHEMAS]


def _with_absolute_config_path(options: Sequence[str]) -> list[str]:
    """Returns the options with `--config-path` counted from here; Hydra counts it from the package's own folder."""
    result = list(options)
    for place, argument in enumerate(options):
        option, equals, value = argument.partition("=")
        if option in ("--config-path", "-cp"):
            if not equals:
                place, option, value = place + 1, "", "".join(options[place + 1 : place + 2])
            if Path(value).is_dir():
                result[place] = f"{option}{equals}{Path(value).resolve()}"
    return result


def _named_sweep(overrides: Sequence[str]) -> Path | None:
    """Returns the folder that `run=` names, where it is a sweep's."""
    with contextlib.suppress(HydraException):
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            folder = Path(os.path.expanduser(str(override.value())))  # Path's own raises where there is no such user
            if override.key_or_group == "run" and is_sweep(folder):
                return folder
    return None


def _as_changes_of_a_run(overrides: Sequence[str]) -> list[str]:
    """Returns the settings with those that are not resume's own as its one setting `overrides`."""
    own = re.compile(r"[+~]*(run=|overrides=|allow_targets=|hydra[./])")
    changes = [override for override in overrides if not own.match(override)]
    others = [override for override in overrides if own.match(override)]
    return [*others, f"overrides=[{','.join(map(quoted, changes))}]"] if changes else others
