"""Downloads and prepares TensorFlow Datasets builders: once, by one process, and in words for whoever waits."""

import contextlib
import io
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
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
    """Returns one of TFDS's own datasets, prepared; see `builder_by_name` and `prepared`.

    Args:
        name: `dataset/config:version`.
        manual_folder: where files that were fetched by hand are, under the names TFDS has registered.
    """
    return prepared(builder_by_name(name), download_config=tfds.download.DownloadConfig(manual_dir=manual_folder))


def builder_by_name(name: str) -> tfds.core.DatasetBuilder:
    """Returns the builder of one of TFDS's own datasets, as TFDS writes its name: `dataset/config:version`.

    Raises:
        ValueError: TFDS has no such dataset, config or version.
    """
    with quiet_tfds():
        return tfds.builder(name, data_dir=tfds_folder(), file_format="array_record", try_gcs=False)


def prepared(builder: tfds.core.DatasetBuilder, **download_and_prepare: Any) -> tfds.core.DatasetBuilder:
    """Downloads and prepares a builder's data unless it is there; one process does, the others wait.

    TFDS writes to a folder of another name and renames it when all is written. What a process that was killed has
    left is taken away.

    Args:
        builder: made with `file_format="array_record"`, which can be read in any order.
        **download_and_prepare: arguments of the builder's method of that name.

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
                _prepare(builder, download_and_prepare)
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


def _prepare(builder: tfds.core.DatasetBuilder, download_and_prepare: dict[str, Any]) -> None:
    config = download_and_prepare.get("download_config")
    manual_folder = config.manual_dir if config else None
    if manual_folder is not None and not Path(manual_folder).expanduser().is_dir():
        raise ValueError(f"dataset.manual_folder={manual_folder}: there is no such folder.")
    _take_away_leftovers(builder)
    missing = _files_to_download(builder, manual_folder)
    hosts = sorted({"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in missing if url.startswith("http")})
    # TFDS tries for minutes before it gives up. Of several hosts, one may be an old one that nothing is taken from.
    if hosts and not any(map(answers, hosts)):
        raise ValueError(_told_to_fetch(builder, missing, f"no answer from {' and '.join(hosts)}"))
    size = sum(info.size for info in missing.values())
    download = f", after a download of {size / 1e6:,.0f} MB" if missing else ""
    print(f"segtrain: preparing {builder.info.full_name} in {builder.data_dir}, once{download}.", file=sys.stderr)
    # TFDS imports TensorFlow for downloads and for some datasets, and TensorFlow greets on the terminal.
    with native_messages_to(Path(os.devnull)):
        import tensorflow  # noqa: F401
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(**download_and_prepare)
    except NonMatchingChecksumError as error:
        raise ValueError(f"{_one_line(error)} Download the file again, or take it away.") from error
    except requests.RequestException as error:
        raise ValueError(_told_to_fetch(builder, missing, _one_line(error))) from error
    except OSError as error:
        raise OSError(
            f"{builder.info.full_name} cannot be prepared in {builder.data_dir}: {_one_line(error)}. Where the disk is "
            "full or may not be written to, type SEGTRAIN_DATA=/another/folder in front of the command."
        ) from error
    except (ValueError, TypeError):
        raise
    except AssertionError as error:  # TFDS's way to say that files have to be fetched by hand
        instructions = " ".join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or _one_line(error)).split())
        received = f" Received: dataset.manual_folder={manual_folder}; {_one_line(error)}" if manual_folder else ""
        raise ValueError(
            f"{builder.info.full_name} needs files that TFDS does not download. {instructions} Put them into a folder "
            f"as they are and type dataset.manual_folder=FOLDER.{received}"
        ) from error
    except Exception as error:  # TFDS's own errors, TensorFlow's, those of archives: all of them about the data
        what = f"{type(error).__name__}: {_one_line(error)}"
        if missing:
            raise ValueError(_told_to_fetch(builder, missing, what)) from error
        raise ValueError(f"{builder.info.full_name} cannot be prepared: {what}") from error


def _take_away_leftovers(builder: tfds.core.DatasetBuilder) -> None:
    """Deletes what killed processes have left under temporary names; called under the dataset's lock."""
    data = Path(builder.data_dir)
    for leftover in (
        *data.parent.glob(f"incomplete.*_{data.name}"),
        *(Path(tfds_folder()) / "downloads" / builder.name).glob("*.tmp.*"),
    ):
        shutil.rmtree(leftover, ignore_errors=True)


def _files_to_download(builder: tfds.core.DatasetBuilder, manual_folder: os.PathLike | None) -> dict[str, UrlInfo]:
    """Returns the files TFDS has registered for the dataset, by address, without those that are there."""
    downloads = Path(tfds_folder()) / "downloads" / builder.name
    return {
        url: info
        for url, info in (builder.url_infos or {}).items()
        if not (downloads / get_dl_fname(url, info.checksum)).is_file()
        and not (manual_folder and info.filename and (Path(manual_folder).expanduser() / info.filename).is_file())
    }


def _told_to_fetch(builder: tfds.core.DatasetBuilder, missing: dict[str, UrlInfo], reason: str) -> str:
    files = [
        f"  {info.filename or url.rpartition('/')[2]}: {info.size:,} bytes, sha256 {info.checksum}, {url}"
        for url, info in missing.items()
    ]
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
