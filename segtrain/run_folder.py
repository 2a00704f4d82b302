"""The folder a run leaves behind: names, whole writes, reading back."""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


class RunFolder:
    """Paths in a run's folder, and its results.

    Args:
        path: the folder; it need not exist to be named.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)

    @classmethod
    def of_begun_run(cls, path: Path | str) -> "RunFolder":
        """Returns the folder of a run, however far it came.

        Raises:
            ValueError: it is no run folder.
        """
        folder = cls(path)
        if not folder.config.is_file() or not folder.results.is_file():
            raise ValueError(
                f"run={path} is no run folder: a run leaves config.yaml and results.json. "
                f"{folder._what_is_there()}Name the folder that a run printed, such as outputs/<date>/<time>."
            )
        return folder

    @classmethod
    def of_run(cls, path: Path | str) -> "RunFolder":
        """Returns the folder of a run that left a best checkpoint, whether it completed or not.

        Raises:
            ValueError: it is no run folder, or the run ended before its first checkpoint.
        """
        folder = cls.of_begun_run(path)
        if not folder.best_model.is_file():
            raise ValueError(
                f"run={path} has no checkpoints/best.keras: the run ended before its first epoch did, or it ran with "
                "callbacks that save nothing (callbacks=none)."
            )
        return folder

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def results(self) -> Path:
        return self.path / "results.json"

    @property
    def benchmark(self) -> Path:
        return self.path / "benchmark.json"

    @property
    def scaling_page(self) -> Path:
        return self.path / "scaling.html"

    @property
    def inspection(self) -> Path:
        return self.path / "inspect.json"

    @property
    def inspection_page(self) -> Path:
        return self.path / "inspect.html"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def log(self) -> Path:
        return self.path / "segtrain.log"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def per_image_scores(self) -> Path:
        return self.path / "per_image.csv"

    @property
    def image_counts(self) -> Path:
        return self.path / "per_image.npz"

    @property
    def confusion_csv(self) -> Path:
        return self.path / "confusion_matrix.csv"

    @property
    def confusion_picture(self) -> Path:
        return self.path / "confusion_matrix.png"

    @property
    def best_model(self) -> Path:
        return self.path / "checkpoints" / "best.keras"

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / "last"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from training in the folder meanwhile.

        Raises:
            ValueError: one does.
        """
        # The log is never replaced, so there is one for all.
        with self.log.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    f"Another process is training in {self.path}. Wait for it, or end it: SIGTERM has it save and stop."
                ) from error
            except OSError:
                pass  # not every file system has locks
            yield

    def write_results(self, results: dict[str, Any]) -> None:
        """Writes results.json; what is not a number becomes null, since JSON has no NaN."""
        _write_json(self.results, results)

    def keep_warning(self, warning: str) -> None:
        """Keeps a warning of the training, in results.json and in the log, at once: the run may be interrupted."""
        _log.warning(warning)
        results = self.read_results()
        self.write_results(results | {"warnings": [*results.get("warnings", ()), warning]})

    def write_benchmark(self, figures: dict[str, Any]) -> None:
        """Writes benchmark.json; what is not a number becomes null."""
        _write_json(self.benchmark, figures)

    def write_inspection(self, inspection: dict[str, Any]) -> None:
        """Writes inspect.json; what is not a number becomes null."""
        _write_json(self.inspection, inspection)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes summary.json; what is not a number becomes null."""
        _write_json(self.summary, summary)

    def read_results(self) -> dict[str, Any]:
        """Returns results.json.

        Raises:
            ValueError: it is not there, not JSON or no object.
        """
        try:
            results = json.loads(self.results.read_text(encoding="utf-8"))
            if not isinstance(results, dict):
                raise ValueError("it holds no results")
            return results
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.results} cannot be read ({error}). Name the folder that a run printed.") from error

    def _what_is_there(self):
        if not self.path.exists():
            return "There is no such folder. "
        missing = [path.name for path in (self.config, self.results) if not path.is_file()]
        return f"It has no {' and no '.join(missing)}. "


def try_folder(folder: Path) -> None:
    """Makes a folder where `folder` is, or is going to be, and takes it away again: only that tells whether files can
    be written there, for root on a read-only disk too.

    Raises:
        OSError: they cannot.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    longest = max((part.encode() for part in folder.absolute().relative_to(existing).parts), key=len, default=b"")
    if len(longest) > os.pathconf(existing, "PC_NAME_MAX"):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    with tempfile.TemporaryDirectory(dir=existing, prefix=".segtrain-"):
        pass


_NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not be as large here",
    errno.EROFS: "the disk is read-only",
}


class NoRoomError(OSError):
    """A file cannot be written where it belongs; the message says so, whole."""


@contextlib.contextmanager
def written_whole(path: Path, num_bytes: int = 0) -> Iterator[Path]:
    """Gives a temporary name beside `path` to write to, and renames it when all is written.

    A process that is killed, or a disk that fills up, leaves the former file and no half of the new one. The temporary
    name keeps the suffix, by which Keras and Matplotlib choose a format.

    Args:
        path: the file.
        num_bytes: what it takes at least, as far as that is known, for messages.

    Raises:
        NoRoomError: it cannot be written; names it, the bytes it needs and those that are free.
    """
    # No longer than short: the file's own name may be as long as the disk takes.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    temporary = path.with_name(f".{digest}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _to_disk(temporary)
        temporary.replace(path)
        with contextlib.suppress(OSError):  # the new name; not every file system does this for folders
            _to_disk(path.parent)
    except OSError as error:
        is_refused = error.errno in (errno.EACCES, errno.EPERM) and error.filename in map(str, (temporary, path.parent))
        if error.errno not in _NO_ROOM and not is_refused:
            raise  # of what was to be written, not of where to
        needed = max(num_bytes, _size(temporary), _size(path))
        temporary.unlink(missing_ok=True)  # or its bytes would not count as free
        told = NoRoomError(_no_room(error, path, needed))
        told.errno = error.errno
        raise told from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _no_room(error: OSError, path: Path, num_bytes: int) -> str:
    reason = _NO_ROOM.get(error.errno) or os.strerror(error.errno).lower()
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    needed = f"It needs {num_bytes:,} bytes or more, free are" if num_bytes else "Bytes that are free:"
    free = shutil.disk_usage(existing).free
    return f"{path} cannot be written: {reason}. {needed} {free:,}. What was saved before is whole."


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _to_disk(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, UTF-8, as a whole."""
    content = text.encode("utf-8")
    with written_whole(path, len(content)) as temporary:
        temporary.write_bytes(content)


def _write_json(path, content):
    write_text(path, json.dumps(_json_ready(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _json_ready(value):
    if isinstance(value, dict):
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
