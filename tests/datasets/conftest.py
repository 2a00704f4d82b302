import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.palette import voc_palette


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


@dataclass(frozen=True)
class VocDevkit:
    """A made-up VOCdevkit. Its lists are not in the order of the ids, which tells the two apart.

    Attributes:
        folder: the folder VOCdevkit.
        masks: uint8 `(height, width)` by image id, of each split in the order of its list.
    """

    folder: Path
    masks: dict[str, dict[str, np.ndarray]]

    def pack(self, archive: Path) -> Path:
        with tarfile.open(archive, "w") as tar:
            tar.add(self.folder, "VOCdevkit")
        return archive


@pytest.fixture(scope="session")
def write_devkit() -> Callable[..., VocDevkit]:
    """Writes a VOCdevkit as published: JPEGs, and palette PNGs of odd sizes with objects that have a rim of void."""

    def write(root: Path, num_train: int = 5, num_val: int = 3, seed: int = 0) -> VocDevkit:
        rng = np.random.default_rng(seed)
        folder = root / "VOCdevkit" / "VOC2012"
        for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        ids = [f"{rng.integers(2007, 2012)}_{number:06}" for number in rng.permutation(num_train + num_val)]
        masks = {"train": dict.fromkeys(ids[:num_train]), "val": dict.fromkeys(ids[num_train:])}
        for split, of_split in masks.items():
            for image_id in of_split:
                height, width = rng.integers(17, 40, 2) * 2 + 1
                mask = np.zeros((height, width), np.uint8)
                mask[4:20, 5:21] = 255
                mask[6:18, 7:19] = rng.integers(1, 21)
                of_split[image_id] = mask
                picture = Image.fromarray(mask)
                picture.putpalette([channel for colour in voc_palette(256) for channel in colour])
                picture.save(folder / "SegmentationClass" / f"{image_id}.png")
                photo = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
                photo.save(folder / "JPEGImages" / f"{image_id}.jpg")
            text = "".join(f"{image_id}\n" for image_id in of_split)
            (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(text)
        return VocDevkit(root / "VOCdevkit", masks)

    return write
