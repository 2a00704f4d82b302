"""Quotes paths that a person types: Hydra's grammar knows `,`, `=` and brackets, and file names have them too."""

import os
import re
from collections.abc import Sequence

# Settings whose values are paths, or slices such as train[:80%].
PATH_KEYS = re.compile(
    r"\+{0,2}(run|input|output|hydra\.run\.dir|hydra\.sweep\.dir"
    r"|model\.(encoder\.)?weights"
    r"|[\w.]+\.(root|path|archive|\w+_folder|((train|val|test)_)?(images|masks|annotations)|(train|val)_split))$"
)
# `input=[a.jpg,my photo.jpg,"b,c.jpg"]` is a list of paths; a glob has brackets that hold others, or ends after them.
QUOTES = "'\""
LISTED_PATH = re.compile(r"""\s*('(\\.|[^'\\])*'|"(\\.|[^"\\])*"|[^\s\[\],'"][^\[\],]*)\s*""")
PATH_LIST = re.compile(rf"\[{LISTED_PATH.pattern}(,{LISTED_PATH.pattern})*\]")


def quote_path(argument: str, sweeping: bool, lists: Sequence[str] = ("input",)) -> str:
    """Returns a setting as typed, quoted for Hydra where its value is a path.

    Args:
        argument: `key=value`, or anything else, which is left as it is.
        sweeping: whether a comma separates values.
        lists: settings that may be several paths, in brackets.
    """
    key, equals, value = argument.partition("=")
    # What is quoted or interpolated already is left as it is.
    as_typed = value[:1] in QUOTES or "${" in value or (sweeping and "," in value)
    if not equals or not PATH_KEYS.match(key) or as_typed or value in ("", "null", "???"):
        return argument
    if key in lists and PATH_LIST.fullmatch(value) and not os.path.exists(value):
        paths = (path[0].strip() for path in LISTED_PATH.finditer(value[1:-1]))
        return f"{key}=[{','.join(path if path[0] in QUOTES else quoted(path) for path in paths)}]"
    return f"{key}={quoted(value)}"


def quoted(text: str) -> str:
    """Returns text in quotes that Hydra takes away again."""
    # Hydra takes a backslash for itself, except before a quote: there, and at the end, it has to be doubled.
    escaped = re.sub(r"(\\+)(?='|$)", r"\1\1", text).replace("'", "\\'")
    return f"'{escaped}'"
