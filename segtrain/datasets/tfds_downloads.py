"""What a builder of TensorFlow Datasets downloads: told in words, and given up at once where nobody answers."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import tensorflow_datasets as tfds
from rich.filesize import decimal
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.download.resource import get_dl_fname

SECONDS_FOR_AN_ANSWER = 10
FILES_LISTED = 12
# A server that does not know HEAD is there all the same.
NOT_IMPLEMENTED = 501


class AskedFiles:
    """The files that a builder has asked for, and which of them are not there.

    What TFDS has registered for a dataset are the files of all its configs; which of them one config needs shows when
    it asks for them.

    Args:
        builder: whose files.
        manual_folder: where files that were fetched by hand are.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, manual_folder: Path | None):
        self.downloads = Path(builder.data_dir_root) / "downloads" / builder.name
        self._name = builder.info.full_name
        self._registered: Mapping[str, UrlInfo] = builder.url_infos or {}
        self._manual_folder = manual_folder
        self._asked: dict[str, None] = {}  # a set that keeps the order

    def missing(self) -> list[str]:
        """Returns the addresses of those files that were asked for and have not come yet."""
        return [url for url in self._asked if not self._is_there(url)]

    @contextlib.contextmanager
    def noted(self, builder: tfds.core.DatasetBuilder) -> Iterator[None]:
        """Has each download told before it begins, and refused where a server does not answer.

        TFDS tries for minutes before it gives up. It offers no way to be asked before a download, so the manager that
        the builder makes for itself is given two methods that ask first.
        """
        make_manager = builder._make_download_manager

        def make_asking_manager(*arguments: Any, **options: Any) -> tfds.download.DownloadManager:
            manager = make_manager(*arguments, **options)
            manager.download = self._asking(manager.download)
            manager.download_and_extract = self._asking(manager.download_and_extract)
            return manager

        builder._make_download_manager = make_asking_manager
        try:
            yield
        finally:
            del builder._make_download_manager

    def told_to_fetch(self, reason: str) -> str:
        """Returns a message that lists what is missing, and says where to put it."""
        missing = self.missing()
        by_hand = [url for url in missing if self._is_taken_by_hand(url)]
        what_to_do = (
            " Fetch these files where there is a network, put them into one folder under these names and type "
            "dataset.manual_folder=FOLDER:"
            if by_hand
            else ""
        )
        files = list(dict.fromkeys(map(self._described, by_hand)))
        others = [url for url in missing if url not in by_hand]
        return "\n".join(
            [
                f"{self._name} cannot be downloaded ({reason}).{what_to_do}",
                *files[:FILES_LISTED],
                *([f"  and {len(files) - FILES_LISTED} more"] if len(files) > FILES_LISTED else []),
                *([f"  TFDS takes these from their addresses only: {', '.join(others)}"] if others else []),
            ]
        )

    def _asking(self, download: Callable) -> Callable:
        @functools.wraps(download)
        def ask_first(url_or_urls: Any) -> Any:
            urls = list(dict.fromkeys(_addresses_in(url_or_urls)))
            self._asked |= dict.fromkeys(urls)
            missing = [url for url in urls if not self._is_there(url)]
            silent = [host for host, url in _one_by_host(missing).items() if not answers(url)]
            if silent:
                raise requests.ConnectionError(f"no answer from {' and '.join(silent)}")
            if missing:
                self._tell(missing)
            return download(url_or_urls)

        return ask_first

    def _tell(self, urls: list[str]) -> None:
        infos = [self._registered.get(url) for url in urls]
        # Some files are registered under several addresses.
        size = sum({info.checksum: info.size for info in infos if info}.values())
        files = f"{len(urls)} files" if len(urls) > 1 else urls[0].rpartition("/")[2]
        size_told = f" ({decimal(size)})" if size and all(infos) else ""
        hosts = " and ".join(_one_by_host(urls))
        print(f"segtrain: downloading {files}{size_told} of {self._name} from {hosts}.", file=sys.stderr)

    def _is_there(self, url: str) -> bool:
        info = self._registered.get(url)
        fetched = self._manual_folder and info and info.filename and (self._manual_folder / info.filename).is_file()
        names = {get_dl_fname(url, info and info.checksum), get_dl_fname(url)}
        return bool(fetched) or any((self.downloads / name).is_file() for name in names)

    def _is_taken_by_hand(self, url: str) -> bool:
        return url in self._registered and bool(self._registered[url].filename)

    def _described(self, url: str) -> str:
        info = self._registered[url]
        same = [other for other, of_other in self._registered.items() if of_other == info]
        return f"  {info.filename}: {info.size:,} bytes, sha256 {info.checksum}, {' or '.join(same)}"


def answers(address: str) -> bool:
    """Returns whether a server can be reached. A proxy's word that it cannot (502 to 504) is no answer of its."""
    try:
        status = requests.head(address, timeout=SECONDS_FOR_AN_ANSWER).status_code
    except requests.RequestException:
        return False
    return status < requests.codes.server_error or status == NOT_IMPLEMENTED


def _addresses_in(urls: Any) -> Iterator[str]:
    """Yields the addresses of what `DownloadManager.download` takes: an address, or lists and dicts of them."""
    if isinstance(urls, str):
        yield urls
    elif isinstance(urls, tfds.download.Resource):
        yield urls.url
    else:
        for inner in urls.values() if isinstance(urls, Mapping) else urls:
            yield from _addresses_in(inner)


def _one_by_host(urls: list[str]) -> dict[str, str]:
    """Returns one of the addresses for each host that is asked over the network, sorted by host."""
    parts = {url: urlsplit(url) for url in urls}
    by_host = {f"{part.scheme}://{part.netloc}": url for url, part in parts.items() if part.scheme.startswith("http")}
    return dict(sorted(by_host.items()))
