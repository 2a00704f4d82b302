"""Downloads and prepares TensorFlow Datasets builders: once, by one process, and in words for whoever waits."""

import contextlib
import io
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from segtrain.datasets.data_folder import ELSEWHERE, data_folder, only_process
from segtrain.datasets.tfds_downloads import AskedFiles
from segtrain.quiet_start import native_messages_to


def tfds_folder() -> str:
    """Returns the `data_dir` of builders."""
    return str(data_folder() / "tensorflow_datasets")


def storage() -> dict[str, str]:
    """Returns the arguments of a builder that say where data is kept, and as files that are read in any order."""
    return {"data_dir": tfds_folder(), "file_format": "array_record"}


def image_and_mask_info(
    builder: tfds.core.DatasetBuilder, *, description: str, homepage: str, **options: Any
) -> tfds.core.DatasetInfo:
    """Returns the info of our own builders: JPEGs as published, masks of one channel, and the images' ids."""
    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
        "image_id": tfds.features.Text(),
    }
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        homepage=homepage,
        features=tfds.features.FeaturesDict(features),
        **options,
    )


def prepared_by_name(name: str, manual_folder: str | None) -> tfds.core.DatasetBuilder:
    """Returns one of TFDS's own datasets, prepared; see `builder_by_name` and `prepared`."""
    return prepared(builder_by_name(name), manual_folder)


def builder_by_name(name: str) -> tfds.core.DatasetBuilder:
    """Returns the builder of one of TFDS's own datasets, as TFDS writes its name: `dataset/config:version`.

    Raises:
        ValueError: TFDS has no such dataset, config or version.
    """
    with quiet_tfds():
        return tfds.builder(name, try_gcs=False, **storage())


def prepared(
    builder: tfds.core.DatasetBuilder, manual_folder: str | None = None, by_hand: Sequence[str] = ()
) -> tfds.core.DatasetBuilder:
    """Downloads and prepares a builder's data unless it is there; one process does, the others wait.

    TFDS writes to a folder of another name and renames it when all is written. What a process that was killed has
    left is taken away. Archives that were downloaded stay, what was unpacked from them does not.

    Args:
        builder: made with the arguments of `storage`.
        manual_folder: where files that were fetched by hand are, under the names TFDS has registered.
        by_hand: names of files that TFDS does not download and that have to be there.

    Returns:
        The builder.

    Raises:
        ValueError: a file that is needed is not there and cannot be downloaded, or is another one than TFDS knows;
            says which, and where it belongs.
        OSError: the data folder cannot be written to.
    """
    with quiet_tfds():
        if builder.is_prepared():
            return builder
        with only_process(builder.name):
            if builder.is_prepared():  # by a process that was waited for; the builder began without it
                builder.info.read_from_directory(builder.data_dir)
            else:
                folder = Path(manual_folder).expanduser() if manual_folder else None
                _require_files(builder, folder, by_hand)
                _prepare(builder, folder)
    return builder


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps TFDS's notices off the terminal; its progress bars stay where there is one to draw on."""
    tfds.display_progress_bar(sys.stderr.isatty())
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in ("absl", "urllib3")}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _require_files(builder: tfds.core.DatasetBuilder, manual_folder: Path | None, by_hand: Sequence[str]) -> None:
    if manual_folder and not manual_folder.is_dir():
        raise ValueError(f"dataset.manual_folder={manual_folder}: there is no such folder.")
    missing = [name for name in by_hand if not (manual_folder and (manual_folder / name).is_file())]
    if missing:
        received = f" Not in {manual_folder}: {', '.join(missing)}." if manual_folder else ""
        raise ValueError(
            f"{builder.info.full_name} is made of {' and '.join(by_hand)}, which have to be fetched by hand from "
            f"{builder.info.homepage}. Put them into a folder as they are and type dataset.manual_folder=FOLDER."
            f"{received}"
        )


def _prepare(builder: tfds.core.DatasetBuilder, manual_folder: Path | None) -> None:
    """Downloads and prepares; called under the dataset's lock."""
    files = AskedFiles(builder, manual_folder)
    print(f"segtrain: preparing {builder.info.full_name} in {builder.data_dir}, once.", file=sys.stderr)
    # TFDS imports TensorFlow for downloads and for some datasets, and TensorFlow greets on the terminal.
    with native_messages_to(Path(os.devnull)):
        import tensorflow  # noqa: F401
    # TFDS takes what has been unpacked from an archive of the same name, of whichever dataset, so each has its own.
    unpacked = files.downloads / "unpacked"
    config = tfds.download.DownloadConfig(manual_dir=manual_folder, extract_dir=unpacked)
    _take_away_leftovers(builder, files.downloads, unpacked)
    try:
        with (
            _told_in_words(builder, files, manual_folder),
            files.noted(builder),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            builder.download_and_prepare(download_config=config)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _take_away_leftovers(builder: tfds.core.DatasetBuilder, downloads: Path, unpacked: Path) -> None:
    """Deletes what killed processes have left."""
    data = Path(builder.data_dir)
    for leftover in (*data.parent.glob(f"incomplete.*_{data.name}"), *downloads.glob("*.tmp.*"), unpacked):
        shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def _told_in_words(builder: tfds.core.DatasetBuilder, files: AskedFiles, manual_folder: Path | None) -> Iterator[None]:
    """Raises what TFDS raises as ValueErrors and OSErrors that say what to do."""
    name = builder.info.full_name
    try:
        yield
    except NonMatchingChecksumError as error:
        raise ValueError(f"{_one_line(error)} Download the file again, or take it away.") from error
    except requests.RequestException as error:  # an OSError too
        raise ValueError(_what_went_wrong(builder, files, _one_line(error))) from error
    except OSError as error:
        raise OSError(
            f"{name} cannot be prepared in {builder.data_dir}: {_one_line(error)}. Where the disk is full or may not "
            f"be written to, {ELSEWHERE}."
        ) from error
    except Exception as error:  # TFDS's own errors, TensorFlow's, those of archives: all of them about the data
        if isinstance(error, ValueError) and type(builder).__module__.startswith("segtrain."):
            raise  # our own builders say which file and what to do
        if isinstance(error, AssertionError) and builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            # TFDS's way to say that files have to be fetched by hand
            instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
            received = f" Received: dataset.manual_folder={manual_folder}; {_one_line(error)}" if manual_folder else ""
            raise ValueError(
                f"{name} needs files that TFDS does not download. {instructions} Put them into a folder as they are "
                f"and type dataset.manual_folder=FOLDER.{received}"
            ) from error
        raise ValueError(_what_went_wrong(builder, files, f"{type(error).__name__}: {_one_line(error)}")) from error


def _what_went_wrong(builder: tfds.core.DatasetBuilder, files: AskedFiles, reason: str) -> str:
    if files.missing():
        return files.told_to_fetch(reason)
    return f"{builder.info.full_name} cannot be prepared: {reason}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
