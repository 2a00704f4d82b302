"""Which files `segtrain predict` reads: a file, a folder, a glob, a video, or a list of them."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtrain.datasets.file_pairs import IMAGE_SUFFIXES, list_files, stem_of

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm"}
_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES


@dataclass(frozen=True)
class InputFile:
    """A file to predict.

    Attributes:
        path: the file.
        stem: its path below the folder that was typed, without its ending; names what is written for it.
    """

    path: Path
    stem: str

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(typed: str | Sequence[str], output: Path) -> list[InputFile]:
    """Returns the files that are meant, each once.

    Hidden files are left out, and so is what lies in `output` where that is within the input: what was predicted
    before is no image to predict.

    Args:
        typed: a file, a folder of images with all folders in it, a glob (`photos/**/*.jpg`), or several of these. What
            exists by that name is never taken for a glob.
        output: the folder that is written to.

    Raises:
        ValueError: one names nothing that exists, or no image.
    """
    found: dict[str, InputFile] = {}
    for text in [typed] if isinstance(typed, str) else typed:
        if not text:  # a script's unset variable, which would be the folder that it runs in
            raise ValueError("input= is empty. Type input=FILE, a folder, or input=. for this folder.")
        for file in _find(os.path.expanduser(text), text, output):
            found.setdefault(os.path.abspath(file.path), file)
    return list(found.values())


def _find(path_or_glob: str, typed: str, output: Path) -> Iterator[InputFile]:
    path = Path(path_or_glob)
    try:
        if path.is_file():
            return iter([InputFile(path, stem_of(path.name))])
        is_folder = path.is_dir()
        if is_folder:
            names, folder = list_files(path, _SUFFIXES, nested=True, without=_within(path, output)), path
        elif glob.has_magic(path_or_glob):
            names, folder = _matches(path, output)
        else:
            raise ValueError(f"input={typed}: there is no such file or folder. Type one that there is.")
    except OSError as error:
        raise ValueError(f"input={typed}: cannot be looked at: {error.strerror or error}. Type another one.") from error
    if not names:
        suffixes = ", ".join(sorted(_SUFFIXES))
        what = "holds no image and no video" if is_folder else "matches no image and no video"
        raise ValueError(f"input={typed}: {what} ({suffixes}). Type another file, folder or glob.")
    return (InputFile(folder / name, stem_of(name)) for name in names)


def _matches(pattern: Path, output: Path) -> tuple[list[str], Path]:
    """Returns the files that a glob matches, by their paths from its fixed part, and that part."""
    first = next(place for place, part in enumerate(pattern.parts) if glob.has_magic(part))
    folder = Path(*pattern.parts[:first])
    names = glob.glob(str(Path(*pattern.parts[first:])), root_dir=folder, recursive=True)
    left_out = [f"{each.relative_to(folder).as_posix()}/" for each in _within(folder, output)]
    return sorted(
        name
        for name in names
        if os.path.splitext(name)[1].lower() in _SUFFIXES
        and not name.startswith(tuple(left_out))
        and (folder / name).is_file()
    ), folder


def _within(folder: Path, output: Path) -> list[Path]:
    """Returns the output folder as a path that begins with `folder`, where it lies in there."""
    inner, outer = output.resolve(), folder.resolve()
    return [folder / inner.relative_to(outer)] if inner != outer and inner.is_relative_to(outer) else []
