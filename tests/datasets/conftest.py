from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


@pytest.fixture
def write_pairs(tmp_path) -> Callable:
    """Writes random images and labels below `tmp_path`; returns what was written, by name."""

    def write(images: str, masks: str, names: list[str], *, suffix=".png", size=(6, 8), labels=(0, 1, 2, 255)):
        rng = np.random.default_rng(0)
        written = {}
        for name in names:
            image, mask = rng.integers(0, 256, (*size, 3), np.uint8), rng.choice(np.uint8(labels), size)
            mask.flat[: len(labels)] = labels  # every label in every mask
            save(tmp_path / images / f"{name}{suffix}", image)
            save(tmp_path / masks / f"{name}.png", mask)
            written[name] = image, mask
        return written

    return write


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """The folder that is `SEGTRAIN_DATA` in the test."""
    monkeypatch.setenv("SEGTRAIN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def know_archives(monkeypatch) -> Callable:
    """Has TFDS take the archives in a folder, by their names, for those it knows; it checks sizes and checksums."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.checksums import compute_url_info

    def know(dataset: str, folder: Path) -> None:
        registered = tfds.builder_cls(dataset).url_infos
        names = {info.filename: url for url, info in registered.items()}
        archives = [path for path in folder.iterdir() if path.name in names]
        assert archives
        for path in archives:
            monkeypatch.setitem(registered, names[path.name], compute_url_info(path))

    return know


@pytest.fixture
def no_network(monkeypatch):
    """Sends every request to a port of this machine where nobody listens."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
