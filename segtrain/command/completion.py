"""Tab completion of a command line that has a verb, which Hydra does not know."""

import os
import re
from collections.abc import Iterable

from segtrain.command.command_line import SETTING


def verb_to_complete(verbs: Iterable[str]) -> str:
    """Returns the verb of the line that the shell completes, and hides it from Hydra.

    Where the first word is still being typed, offers the verbs beside what Hydra offers.
    """
    line = os.environ.get("COMP_LINE", "")
    typed = re.match(r"(\S+\s+)([a-z]*)(\s|$)", line)
    if not typed:
        return "train"
    program, word, space = typed.groups()
    if not space:
        print(*(verb for verb in verbs if verb.startswith(word)))
    if not space or word not in verbs:
        return "train"
    rest = line[typed.end() :]
    bare_path = re.match(r"(\S+)\s", rest)
    if bare_path and not SETTING.match(bare_path[1]):
        rest = rest[bare_path.end() :]
    cursor_from_end = len(line) - int(os.environ.get("COMP_POINT", len(line)))
    os.environ["COMP_LINE"] = program + rest
    os.environ["COMP_POINT"] = str(len(program + rest) - cursor_from_end)
    return word
