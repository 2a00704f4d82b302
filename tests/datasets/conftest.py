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
