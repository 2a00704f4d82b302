"""What `segtrain predict` writes, and whether it can."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segtrain.prediction.choices import FormatChoice
from segtrain.prediction.inputs import InputFile
from segtrain.prediction.row_bands import bands_of_rows
from segtrain.reports.pictures import overlay, palette_image
from segtrain.run_folder import NoRoomError, try_folder, written_whole

_ENDINGS: dict[FormatChoice, str] = {
    "palette": ".png",
    "overlay": "_overlay.png",
    "ids": "_ids.png",
    "probabilities": "_probabilities.npy",
}


@dataclass(frozen=True)
class Target:
    """What is going to be written for an input: a file, or for a video's frames a folder of files."""

    path: Path
    is_folder: bool = False


def path_of(output: Path, stem: str, form: FormatChoice) -> Path:
    """Returns the file that is written for an image in one format."""
    return output / f"{stem}{_ENDINGS[form]}"


def overlay_video_of(output: Path, stem: str) -> Path:
    """Returns the file that is written for a video as its overlay."""
    return output / f"{stem}_overlay.mp4"


def targets_of(file: InputFile, output: Path, formats: Iterable[FormatChoice]) -> list[Target]:
    """Returns all that is written for an input: of a video, a video of overlays and a folder of the other formats."""
    if not file.is_video:
        return [Target(path_of(output, file.stem, form)) for form in formats]
    overlays = [Target(overlay_video_of(output, file.stem))] if "overlay" in formats else []
    return overlays + ([Target(output / file.stem, is_folder=True)] if {*formats} - {"overlay"} else [])


def require_folder(output: Path) -> None:
    """Tries whether files can be written in the output folder, or there where it has to be made.

    Raises:
        ValueError: they cannot.
    """
    try:
        try_folder(output)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"output={output} cannot be written to: {reason}. Type another folder as output=.") from error


def require_free_names(
    files: Sequence[InputFile], output: Path, formats: Sequence[FormatChoice], overwrite: bool
) -> None:
    """Checks all names that are going to be written before the first one is.

    Args:
        files: the inputs.
        output: the folder that is written to.
        formats: what is written for each.
        overwrite: what is there may be replaced, unless it is an input.

    Raises:
        ValueError: one would replace an input, or what is written for another input, or what is there already.
    """
    written_for: dict[Path, InputFile] = {}
    for file in files:
        for target in targets_of(file, output, formats):
            other = written_for.setdefault(target.path, file)
            if other is not file:
                raise ValueError(f"{target.path} would be written for {other.path} and for {file.path}. Rename one.")
    _require_folders_apart(files, written_for, output)
    _require_short_names(written_for, output)
    there = [path for path in written_for if path.exists()]
    inputs = {_identity(file.path) for file in files} if there else set()
    for path in there:
        _require_free(path, targets_of(written_for[path], output, formats), inputs, overwrite)


def _require_folders_apart(files: Sequence[InputFile], written_for: Mapping[Path, InputFile], output: Path) -> None:
    """Refuses a folder of a video's frames that holds what belongs to another input, which a frame could replace."""
    of_frames = {output / file.stem: file for file in files if file.is_video and output / file.stem in written_for}
    of_frames |= {folder.resolve(): file for folder, file in of_frames.items()}
    inputs = {file.path.resolve(): file for file in files} if of_frames else {}
    for path, file in [*written_for.items(), *inputs.items()]:
        for folder in path.parents:
            video = of_frames.get(folder, file)
            if video is not file:
                raise ValueError(
                    f"{folder} would take the frames of {video.path}, and holds what belongs to {file.path}. Predict "
                    "one of the two into another output=."
                )


def _require_short_names(paths: Iterable[Path], output: Path) -> None:
    existing = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    longest = os.pathconf(existing, "PC_NAME_MAX")
    for path in paths:
        if len(os.fsencode(path.name)) > longest:
            raise ValueError(f"{path}: a name may have {longest} bytes here. Rename the input.")


def remove_frames_from(number: int, output: Path, stem: str, formats: Iterable[FormatChoice]) -> None:
    """Removes a former, longer video's frames from a number on: they would pass for this one's."""
    endings = "|".join(re.escape(_ENDINGS[form]) for form in formats)
    for path in (output / stem).glob("[0-9]*"):
        frame = re.fullmatch(rf"(\d{{6,}})({endings})", path.name)
        if frame and int(frame[1]) >= number:
            path.unlink()


def _require_free(path: Path, targets: Sequence[Target], inputs: set[tuple[int, int]], overwrite: bool) -> None:
    if _identity(path) in inputs:
        raise ValueError(f"{path} would replace an input. Type another folder as output=.")
    is_folder, found = Target(path, is_folder=True) in targets, "a folder" if path.is_dir() else "a file"
    if is_folder != path.is_dir():
        raise ValueError(f"{path} is {found}, where something else would be written. Type another folder as output=.")
    if not overwrite and not (is_folder and next(path.iterdir(), None) is None):
        raise ValueError(f"{path} is there already. Type overwrite=true to replace it, or another output=.")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """Gives a temporary name to write to, as `written_whole`; what fails is told with the file's own name.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with written_whole(path) as temporary:
            yield temporary
    except NoRoomError as error:
        raise OSError(f"{error} Make room for it, or type another output=.") from error
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path} cannot be written: {reason}. Make room for it, or type another output=.") from error


def write_labels(
    image: np.ndarray,
    labels: np.ndarray,
    palette: Sequence[tuple[int, int, int]],
    output: Path,
    stem: str,
    formats: Iterable[FormatChoice],
) -> None:
    """Writes class ids as `<stem>.png` (palette image), `<stem>_ids.png` (grey), and `<stem>_overlay.png`.

    Args:
        image: uint8 `(height, width, channels)`.
        labels: uint8 `(height, width)`.
        palette: RGB colours 0..255 by class id.
        output: the folder to write to; made where it is missing.
        stem: what the files' names begin with.
        formats: which of them; probabilities are written by `write_probabilities`.
    """
    for form in formats:
        if form == "probabilities":
            continue
        with written(path_of(output, stem, form)) as temporary:
            if form == "overlay":
                Image.fromarray(draw_overlay(image, labels, palette)).save(temporary)
            else:
                (palette_image(labels, palette) if form == "palette" else Image.fromarray(labels)).save(temporary)


def draw_overlay(image: np.ndarray, labels: np.ndarray, palette: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Returns `overlay`, drawn in bands of rows: its steps take many times an image's memory."""
    drawn = np.empty((*labels.shape, 3), np.uint8)
    for rows in bands_of_rows(*labels.shape):
        band = slice(rows.start, rows.stop)
        drawn[band] = overlay(image[band], labels[band], palette)
    return drawn


def write_probabilities(path: Path, bands: Iterable[np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
    """Writes class probabilities as they come, as a NumPy array, and returns the class ids.

    Args:
        path: the `.npy` file: float16 `(height, width, classes)`.
        bands: float32 `(rows, width, classes)`, from top to bottom.
        shape: `(height, width, classes)`.

    Returns:
        uint8 `(height, width)`.
    """
    labels = []
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype("<f2")), "fortran_order": False, "shape": shape}
    with written(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for band in bands:
            file.write(np.ascontiguousarray(band, "<f2").data)
            labels.append(band.argmax(axis=-1).astype(np.uint8))
    return np.concatenate(labels)
