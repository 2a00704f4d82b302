from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.folder import build_folder


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


@pytest.fixture
def write_dataset(tmp_path) -> Callable[..., SegmentationDataset]:
    """Writes masks, each with a random image of its own, as PNG files; returns the dataset that `folder` makes of them.

    The files are called 0.png, 1.png, ..., through all splits. An image's place may hold the number of another image,
    whose pixels it then has.
    """

    def write(
        classes: Sequence[str], ignore_label: int = 255, copies: dict[int, int] | None = None, **splits: list
    ) -> SegmentationDataset:
        rng, images = np.random.default_rng(0), []
        for split, masks in splits.items():
            first = len(images)
            for mask in masks:
                number = len(images)
                images.append(rng.integers(0, 256, (*np.shape(mask), 3), np.uint8))
                if number in (copies or {}):
                    images[number] = images[copies[number]]
                save(tmp_path / "images" / f"{number}.png", images[number])
                save(tmp_path / "masks" / f"{number}.png", mask)
            (tmp_path / f"{split}.txt").write_text("\n".join(str(number) for number in range(first, len(images))))
        return build_folder(root=str(tmp_path), classes=list(classes), ignore_label=ignore_label)

    return write
