import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from segtrain.evaluation.image_counts import ImageCounts, write_image_counts
from segtrain.training.scores import scores_of

CLASSES = ("ground", "disc", "ring")
CONTRACT = {"evaluated_at": "48x64", "num_classes": 3, "ignore_label": 255, "convention": "segtrain"}


@pytest.fixture
def write_run(tmp_path):
    """Writes what a comparison reads of a run; returns the folder.

    `quality` is the share of right pixels, give or take what `seed` and the images of `split` make of it; `skill` are
    the images that the run is a little better at.
    """

    def write(
        name: str,
        overrides: list[str],
        *,
        seed: int = 1,
        quality: float = 0.7,
        spread: float = 0.01,
        images_spread: float = 0.05,
        skill: int = 0,
        split: int = 0,
        num_images: int = 40,
        keeps_counts: bool = True,
        contract: dict | None = None,
        sweep: Path | None = None,
        **results,
    ) -> Path:
        folder = (sweep or tmp_path / "sweep") / name
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides), encoding="utf-8")
        of_split, of_run = np.random.default_rng(split), np.random.default_rng([seed, *name.encode()])
        in_truth = of_split.integers(200, 2000, (num_images, 3))
        of_images = np.random.default_rng([split, skill]).normal(0, images_spread, (num_images, 1))
        share = np.clip(quality + of_run.normal(0, spread) + of_images, 0, 1)
        right = np.round(in_truth * share).astype(int)
        pixels = np.stack([right, in_truth, right + np.roll(in_truth - right, 1, axis=1)], axis=-1).astype(np.uint32)
        totals = pixels.sum(axis=0).astype(int)
        confusion = np.diag(totals[:, 0])
        for true in range(3):
            confusion[true, (true + 1) % 3] = totals[true, 1] - totals[true, 0]
        val = scores_of(confusion).as_dict(CLASSES) | {"boundary_f1": float(share.mean())}
        content = {"status": "completed", "seed": seed, "val": val, "metric_contract": contract or CONTRACT, **results}
        (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
        if keeps_counts:
            names = [f"image {number}" for number in range(num_images)]
            counts = ImageCounts(names, list(CLASSES), pixels, share[:, 0])
            write_image_counts(folder / "per_image.npz", counts)
        return folder

    return write
