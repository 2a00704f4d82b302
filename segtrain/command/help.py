"""What `--help` answers beside Hydra's own: the options of a group, the settings of a verb on a run."""

import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from segtrain.command.composition import config_folder
from segtrain.config_error import ConfigError, suggest
from segtrain.settings import SCHEMAS


def describe_options(word: str, own_folder: str | None) -> str:
    """Returns the options of a group, each with what its file begins with.

    Args:
        word: the group as typed, `model/encoder` or `model.encoder`.
        own_folder: the user's `--config-dir`.

    Raises:
        ConfigError: there is no such group.
    """
    folders = [config_folder(), *([Path(own_folder)] if own_folder else [])]
    group = word.replace(".", "/")
    files = {file.stem: file for folder in folders for file in sorted((folder / group).glob("*.yaml"))}
    if not files or group.startswith("hydra"):
        groups = _groups(folders)
        raise ConfigError(
            f"{word}: --help knows no such verb or group.{suggest(word, [*SCHEMAS, *groups])} "
            f"Verbs: {', '.join(SCHEMAS)}. Groups: {', '.join(groups)}."
        )
    width = max(map(len, files)) + 2
    options = [f"  {name:{width}}{_first_comment(file)}".rstrip() for name, file in sorted(files.items())]
    return "\n".join([f"Options, typed as {group}=NAME:", *options])


def describe_verb(config_name: str) -> str:
    """Returns what the config of a verb on a run says of itself and of each setting, for Hydra's template."""
    text = (config_folder() / f"{config_name}.yaml").read_text(encoding="utf-8")
    purpose = re.match(r"(# ?.*\n)*", text)[0].replace("# ", "").replace("#", "")
    settings = re.search(r"^run: .*?(?=^hydra:|\Z)", text, re.MULTILINE | re.DOTALL)
    return f"{purpose}\n== Settings (key=value) ==\n{settings[0].strip()}".replace("$", "$$")


OmegaConf.register_new_resolver("describe_verb", describe_verb, replace=True)


def _groups(folders: Sequence[Path]) -> list[str]:
    files = (file.relative_to(folder) for folder in folders for file in folder.glob("*/**/*.yaml"))
    # size/of_...: what size=tiny means for an experiment, never typed.
    found = {file.parent.as_posix() for file in files if file.parts[0] != "hydra"}
    return sorted(group for group in found if not group.startswith("size/"))


def _first_comment(file: Path) -> str:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line[2:]
    return ""
