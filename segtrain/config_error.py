"""A mistake in a config, and how what was received and what would be right are worded."""

import difflib
import json
from collections.abc import Iterable
from typing import Any


class ConfigError(ValueError):
    """A config that cannot be run; the message says where, what was received and what would work."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Returns " Did you mean '...'?" for the nearest of the known words, or nothing."""
    nearest = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""


def shown(value: Any) -> str:
    """Returns a value as a message repeats it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def refuse_unknown(values: Iterable[str], known: Iterable[str], prefix: str, owner: str = "here") -> None:
    for key in values:
        if key not in known:
            raise ConfigError(
                f"{prefix}{key}: there is no such setting.{suggest(key, known)} "
                f"Settings {owner}: {', '.join(known) or 'none'}."
            )
