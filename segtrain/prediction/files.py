"""What `segtrain predict` reads and writes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segtrain.datasets.file_pairs import IMAGE_SUFFIXES, list_files, names_by_stem
from segtrain.reports.pictures import overlay, palette_image
from segtrain.run_folder import written_whole


def image_files(path: Path) -> list[Path]:
    """Returns the image file `path`, or the images in the folder `path`.

    Raises:
        ValueError: there is none, or two would be written to the same mask.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"input={path}: there is no such file or folder.")
    names = names_by_stem(path, list_files(path, IMAGE_SUFFIXES)).values()
    if not names:
        raise ValueError(f"input={path}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return [path / name for name in names]


def require_writable_names(output: Path, files: Sequence[Path], overwrite: bool) -> None:
    """Checks the names of all masks and overlays before the first is written.

    Raises:
        ValueError: one would replace an input image, or one of another image, or (without `overwrite`) what is there;
            or the folder cannot be made.
    """
    existing = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"output={output} cannot be a folder: {existing} is a file. Type another one.")
    inputs = {file.resolve() for file in files}
    written_for: dict[Path, Path] = {}
    for file in files:
        for path in _written_for(file, output):
            if path.resolve() in inputs:
                raise ValueError(f"{path} would replace an input image. Type another folder as output=.")
            other = written_for.setdefault(path, file)
            if other is not file:
                raise ValueError(f"{path} would be written for {other} and for {file}. Rename one of them.")
            if path.exists() and not overwrite:
                raise ValueError(f"{path} is there already. Type overwrite=true to replace it, or another output=.")


def write_prediction(
    image: np.ndarray, labels: np.ndarray, palette: Sequence[tuple[int, int, int]], file: Path, output: Path
) -> None:
    """Writes `<stem>.png`, class ids as a palette image, and `<stem>_overlay.png`.

    Args:
        image: uint8 `(height, width, channels)`.
        labels: uint8 `(height, width)`.
        palette: RGB colours 0..255 by class id.
        file: the image's file, for its name.
        output: the folder to write to; made where it is missing.
    """
    mask_path, overlay_path = _written_for(file, output)
    with written_whole(mask_path) as temporary:
        palette_image(labels, palette).save(temporary)
    with written_whole(overlay_path) as temporary:
        Image.fromarray(overlay(image, labels, palette)).save(temporary)


def _written_for(file: Path, output: Path) -> tuple[Path, Path]:
    return output / f"{file.stem}.png", output / f"{file.stem}_overlay.png"
