"""Downloads and prepares TensorFlow Datasets builders: once, by one process, and in words for whoever waits."""

import contextlib
import io
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.resource import get_dl_fname

from segtrain.datasets.data_folder import data_folder, only_process
from segtrain.quiet_start import native_messages_to

SECONDS_FOR_AN_ANSWER = 10
FILES_LISTED = 12


def tfds_folder() -> str:
    """Returns the `data_dir` of builders."""
    return str(data_folder() / "tensorflow_datasets")


def prepared_by_name(name: str, manual_folder: str | None) -> tfds.core.DatasetBuilder:
    """Returns one of TFDS's own datasets, prepared; see `builder_by_name` and `prepared`."""
    return prepared(builder_by_name(name), manual_folder)


def builder_by_name(name: str) -> tfds.core.DatasetBuilder:
    """Returns the builder of one of TFDS's own datasets, as TFDS writes its name: `dataset/config:version`.

    Raises:
        ValueError: TFDS has no such dataset, config or version.
    """
    with quiet_tfds():
        return tfds.builder(name, data_dir=tfds_folder(), file_format="array_record", try_gcs=False)


def prepared(
    builder: tfds.core.DatasetBuilder, manual_folder: str | None = None, by_hand: Sequence[str] = ()
) -> tfds.core.DatasetBuilder:
    """Downloads and prepares a builder's data unless it is there; one process does, the others wait.

    TFDS writes to a folder of another name and renames it when all is written. What a process that was killed has
    left is taken away. Archives that were downloaded stay, what was unpacked from them does not.

    Args:
        builder: made with `file_format="array_record"`, which can be read in any order.
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


def answers(address: str) -> bool:
    """Returns whether a server can be reached, whatever it says."""
    try:
        requests.head(address, timeout=SECONDS_FOR_AN_ANSWER)
    except requests.RequestException:
        return False
    return True


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
    downloads = Path(builder.data_dir_root) / "downloads" / builder.name
    missing = _files_to_download(builder, downloads, manual_folder)
    hosts = sorted({"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in missing if url.startswith("http")})
    # TFDS tries for minutes before it gives up. Of several hosts, one may be an old one that nothing is taken from.
    if hosts and not any(map(answers, hosts)):
        raise ValueError(_told_to_fetch(builder, missing, f"no answer from {' and '.join(hosts)}"))
    # Some files are registered under several addresses.
    size = sum({info.checksum: info.size for info in missing.values()}.values())
    download = f", after a download of {size / 1e6:,.0f} MB" if missing else ""
    print(f"segtrain: preparing {builder.info.full_name} in {builder.data_dir}, once{download}.", file=sys.stderr)
    # TFDS imports TensorFlow for downloads and for some datasets, and TensorFlow greets on the terminal.
    with native_messages_to(Path(os.devnull)):
        import tensorflow  # noqa: F401
    # TFDS takes what has been unpacked from an archive of the same name, of whichever dataset, so each has its own.
    unpacked = downloads / "unpacked"
    config = tfds.download.DownloadConfig(manual_dir=manual_folder, extract_dir=unpacked)
    _take_away_leftovers(builder, downloads, unpacked)
    try:
        with _told_in_words(builder, missing, manual_folder), contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_config=config)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _files_to_download(
    builder: tfds.core.DatasetBuilder, downloads: Path, manual_folder: Path | None
) -> dict[str, UrlInfo]:
    """Returns the files TFDS has registered for the dataset, by address, without those that are there."""
    return {
        url: info
        for url, info in (builder.url_infos or {}).items()
        if not (downloads / get_dl_fname(url, info.checksum)).is_file()
        and not (manual_folder and info.filename and (manual_folder / info.filename).is_file())
    }


def _take_away_leftovers(builder: tfds.core.DatasetBuilder, downloads: Path, unpacked: Path) -> None:
    """Deletes what killed processes have left."""
    data = Path(builder.data_dir)
    for leftover in (*data.parent.glob(f"incomplete.*_{data.name}"), *downloads.glob("*.tmp.*"), unpacked):
        shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def _told_in_words(
    builder: tfds.core.DatasetBuilder, missing: dict[str, UrlInfo], manual_folder: Path | None
) -> Iterator[None]:
    """Raises what TFDS raises as ValueErrors and OSErrors that say what to do."""
    name = builder.info.full_name
    try:
        yield
    except NonMatchingChecksumError as error:
        raise ValueError(f"{_one_line(error)} Download the file again, or take it away.") from error
    except requests.RequestException as error:
        raise ValueError(_told_to_fetch(builder, missing, _one_line(error))) from error
    except OSError as error:
        raise OSError(
            f"{name} cannot be prepared in {builder.data_dir}: {_one_line(error)}. Where the disk is full or may not "
            "be written to, type SEGTRAIN_DATA=/another/folder in front of the command."
        ) from error
    except (ValueError, TypeError):
        raise
    except AssertionError as error:  # TFDS's way to say that files have to be fetched by hand
        instructions = " ".join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or _one_line(error)).split())
        received = f" Received: dataset.manual_folder={manual_folder}; {_one_line(error)}" if manual_folder else ""
        raise ValueError(
            f"{name} needs files that TFDS does not download. {instructions} Put them into a folder as they are and "
            f"type dataset.manual_folder=FOLDER.{received}"
        ) from error
    except Exception as error:  # TFDS's own errors, TensorFlow's, those of archives: all of them about the data
        what = f"{type(error).__name__}: {_one_line(error)}"
        if missing:
            raise ValueError(_told_to_fetch(builder, missing, what)) from error
        raise ValueError(f"{name} cannot be prepared: {what}") from error


def _told_to_fetch(builder: tfds.core.DatasetBuilder, missing: dict[str, UrlInfo], reason: str) -> str:
    addresses = {}
    for url, info in missing.items():
        file = f"  {info.filename or url.rpartition('/')[2]}: {info.size:,} bytes, sha256 {info.checksum}"
        addresses.setdefault(file, []).append(url)
    files = [f"{file}, {' or '.join(urls)}" for file, urls in addresses.items()]
    more = [f"  and {len(files) - FILES_LISTED} more"] if len(files) > FILES_LISTED else []
    return "\n".join(
        [
            f"{builder.info.full_name} cannot be downloaded ({reason}). Fetch these files where there is a network, "
            "put them into one folder under these names and type dataset.manual_folder=FOLDER:",
            *files[:FILES_LISTED],
            *more,
        ]
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
