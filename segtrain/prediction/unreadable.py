"""Files that were left out because they could not be read."""

from collections.abc import Sequence
from pathlib import Path

MOST_SHOWN = 20


class UnreadableFilesError(Exception):
    """Some files could not be read; all others are done. The message lists them, or the first of many.

    Args:
        reasons: of each file, its path and why, in a line.
        number: how many files there were.
        log: where all of them stand if there are more than the message holds.
    """

    def __init__(self, reasons: Sequence[str], number: int, log: Path):
        left_out = len(reasons) - MOST_SHOWN
        shown = [*reasons[:MOST_SHOWN], *([f"and {left_out} more, see {log}"] if left_out > 0 else [])]
        files = "1 file" if number == 1 else f"{number} files"
        super().__init__("\n  ".join([f"{len(reasons)} of {files} could not be read, and left out:", *shown]))
        self.reasons, self.log = reasons, log

    def write_log(self) -> None:
        """Adds all of them to the log."""
        with self.log.open("a", encoding="utf-8") as file:
            file.writelines(f"{reason}\n" for reason in self.reasons)
