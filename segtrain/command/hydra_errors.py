"""Words what Hydra refuses in one line, with what to type."""

import re
from collections.abc import Sequence
from dataclasses import fields

import yaml
from hydra.core.default_element import GroupDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from segtrain.checks.nested import entries
from segtrain.config_error import suggest
from segtrain.settings import GIVEN_BY_RUN, SCHEMAS

# What people look for among a run's settings, and the dataset tells.
_TOLD_BY_DATASET = {
    "num_classes": "how many classes there are",
    "classes": "which classes there are",
    "class_names": "which classes there are",
    "channels": "how many channels images have",
    "ignore_label": "which label counts as void",
}


def worded(error: Exception, verb: str, overrides: Sequence[str]) -> str:
    """Returns what is wrong with a command line, as a line.

    Args:
        error: what composing its config raised.
        verb: the verb.
        overrides: the settings typed.
    """
    missing = getattr(error, "missing_cfg_file", None)
    if missing is not None:
        return _no_such_option(missing, getattr(error, "options", None))
    if isinstance(error, OverrideParseException):
        return unreadable(error)
    cause = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
        return _no_such_setting(cause.full_key, cause.parent_node, verb, overrides)
    wrong_group = re.search(r"Could not override '([^']+)'", str(error))
    if wrong_group:
        return _no_such_group(wrong_group[1], verb, overrides)
    of_both = re.search(r"Error resolving interpolation '\$\{(\w+)\}_\$\{(\w+)\}'", str(error))
    for typed in overrides if of_both else ():
        group, _, value = typed.lstrip("~").partition("=")
        if group in of_both.groups() and typed.startswith("~"):
            return f"{group} is required. Type {group}=OPTION, or leave {typed} out."
        if group in of_both.groups() and value.startswith("["):
            return f"{typed}: has to name one option, such as {group}={value.strip('[]').partition(',')[0]}."
    added = re.search(r"Could not append to config. An item is already at '([\w.]+)'", str(error))
    if added:
        return f"{added[1]}: is a setting already. Type {added[1]}=VALUE, without the plus."
    added = re.search(r"To override a value use 'override ([\w/]+): (\S+)'", str(error))
    if added:
        return f"{added[1]}: has an option already. Type {added[1]}={added[2]}, without the plus."
    if "Config group override must be a string" in str(error):
        return f"{_groups_without_option(overrides)}: has to name an option, such as model=segnet."
    return one_line(error)


def unreadable(error: OverrideParseException) -> str:
    """Returns which setting Hydra's grammar does not take."""
    return (
        f"{error.override}: cannot be read as key=value. A value with commas, brackets, letters beyond A to Z or "
        "the like in it goes in quotes within the shell's: \"key='a,b'\"."
    )


def one_line(error: BaseException) -> str:
    """Returns the first line of what an error says, with what it leads over to, or else the error's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _no_such_option(missing: str, options: Sequence[str] | None) -> str:
    loader = GlobalHydra.instance().config_loader()
    group, _, option = missing.rpartition("/")
    outer, _, outer_option = group.rpartition("/")
    for inner in loader.list_groups(outer) if outer else ():
        # model=unet_on_encoder/resnet50
        nested = f"{outer}/{inner}"
        if option in loader.get_group_options(nested) and outer_option in _with_inner_group(nested):
            return (
                f"{outer}={outer_option}/{option}: an option within an option is typed on its own. "
                f"Type {outer}={outer_option} {nested}={option}."
            )
    options = [each for each in options or loader.get_group_options(group) if not each.startswith("_")]
    if group:
        return f"{group}={option}: there is no such option.{suggest(option, options)} Options: {', '.join(options)}."
    return f"--config-name {option}: there is no such config.{suggest(option, options)} Configs: {', '.join(options)}."


def _no_such_setting(full_key: str, holder: DictConfig, verb: str, overrides: Sequence[str]) -> str:
    parent, _, key = full_key.rpartition(".")
    of_run = [field.name for field in fields(SCHEMAS[verb])]
    known = [str(name) for name in holder if name not in ("hydra", "_target_")]
    if not parent and "dataset" in of_run and key in _TOLD_BY_DATASET:
        names = ("num_classes", "classes") if "class" in key else (key,)
        settable = [name for name in names if name in (OmegaConf.select(holder, "dataset") or ())]
        advice = f"Type dataset.{settable[0]}=VALUE." if settable else "Leave it out."
        return f"{key}: the dataset tells {_TOLD_BY_DATASET[key]}. {advice}"
    if parent in of_run and key in GlobalHydra.instance().config_loader().list_groups(parent):
        return _no_such_group(f"{parent}/{key}", verb, overrides)
    if parent and key in of_run:
        return f"{full_key}: there is no such setting. Type {key}={'OPTION' if key in GIVEN_BY_RUN else 'VALUE'}."
    hint = suggest(key, known) or ("" if parent else _deeper(key, holder))
    return (
        f"{full_key}: there is no such setting.{hint} "
        f"Settings{f' in {parent}' if parent else ' here'}: {', '.join(known) or 'none'}."
    )


def _deeper(key: str, config: DictConfig) -> str:
    """Returns where in the options a setting of that name is, as a hint."""
    options = {group: option for group, option in OmegaConf.to_container(config).items() if group in GIVEN_BY_RUN}
    loader = GlobalHydra.instance().config_loader()
    places = [f"{group}/{key}" for group in options if key in loader.list_groups(group)]
    places = places or [place.lstrip(".") for place, name, _ in entries(options, "") if name == key]
    return f" Did you mean {' or '.join(places)}?" if 0 < len(places) <= 3 else ""


def _no_such_group(key: str, verb: str, overrides: Sequence[str]) -> str:
    outer, _, inner = key.rpartition("/")
    holders = _with_inner_group(key) if outer else []
    if holders:
        typed = next(
            (each for each in overrides if re.match(rf"\W*{re.escape(outer)}[./]{re.escape(inner)}\b", each)), key
        )
        return f"{typed}: this {outer} has no {inner}. {outer.capitalize()}s with one: {', '.join(holders)}."
    known = [field.name for field in fields(SCHEMAS[verb])]
    return f"{key}: there is no such setting.{suggest(key, known)} Settings: {', '.join(known)}."


def _with_inner_group(key: str) -> list[str]:
    """Returns the options of a group that choose one of a group within it: of `model/encoder`, models on encoders."""
    loader = GlobalHydra.instance().config_loader()
    outer, _, inner = key.rpartition("/")
    return [option for option in loader.get_group_options(outer) if inner in _groups_chosen(f"{outer}/{option}")]


def _groups_chosen(path: str) -> list[str]:
    """Returns the groups in the list of defaults of an option."""
    try:
        option = GlobalHydra.instance().config_loader().repository.load_config(path)
    except (yaml.YAMLError, ValueError, HydraException):  # one of the user's that is broken is told where it is chosen
        return []
    return [default.group for default in option.defaults_list if isinstance(default, GroupDefault)]


def _groups_without_option(overrides: Sequence[str]) -> str:
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return ", ".join(each.input_line for each in parsed if not isinstance(each.value(), str | list)) or "the option"
