import json

import numpy as np
import pytest

from segtrain.comparison.configurations import rank
from segtrain.comparison.jobs import read_jobs
from segtrain.comparison.side_by_side import NUM_IMAGES, choose_images, choose_runs, image_ious
from segtrain.evaluation.image_counts import ImageCounts, pixels_of


def with_checkpoint(folder):
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.keras").touch()
    return folder


@pytest.fixture
def chosen(tmp_path):
    return lambda: choose_runs(rank(read_jobs([tmp_path / "sweep"])))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_run_with_the_median_score_stands_for_its_configuration(write_run, chosen, count):
    scores = {}
    for model, quality in (("a", 0.5), ("b", 0.8)):
        for seed in range(count):
            folder = with_checkpoint(write_run(f"{model}{seed}", [f"model={model}"], seed=seed, quality=quality))
            scores[folder.name] = json.loads((folder / "results.json").read_text())["val"]["mean_iou"]
    runs, left_out = chosen()
    assert [run.configuration for run in runs] == ["b", "a"]
    for run in runs:
        of_model = sorted((score, name) for name, score in scores.items() if name[0] == run.configuration)
        assert run.job.name == of_model[(count + 1) // 2 - 1][1]
    assert left_out == {}


def test_all_are_of_the_same_images(write_run, chosen):
    """Folds have images of their own: that of the best run is taken."""
    for model, quality in (("a", 0.5), ("b", 0.8)):
        for fold in range(3):
            overrides = [f"model={model}", f"dataset.fold={fold}"]
            with_checkpoint(write_run(f"{model}{fold}", overrides, quality=quality, split=fold))
    with_checkpoint(write_run("c7", ["model=c"], quality=0.2, split=7))
    runs, left_out = chosen()
    assert [run.configuration for run in runs] == ["b", "a"]
    assert runs[0].job.name[1] == runs[1].job.name[1]
    assert left_out == {"c": "scored on other images"}


def test_what_is_gone_is_told(write_run, chosen):
    with_checkpoint(write_run("a", ["model=a"]))
    write_run("b", ["model=b"])
    with_checkpoint(write_run("c", ["model=c"], keeps_counts=False))
    write_run("d", ["model=d"], status="failed")
    runs, left_out = chosen()
    assert [run.configuration for run in runs] == ["a"]
    assert left_out == dict.fromkeys("bc", "no run has both checkpoints/best.keras and per_image.npz")


def make_counts(rng, num_images=20):
    matrices = rng.integers(0, 9, (num_images, 3, 3)) * (rng.random((num_images, 3, 1)) < 0.7)
    pixels = np.stack([pixels_of(matrix) for matrix in matrices])
    names = [str(place) for place in range(num_images)]
    return ImageCounts(names, ["a", "b", "c"], pixels, np.zeros(num_images)), matrices


def test_the_iou_of_an_image_is_that_of_its_classes():
    counts, matrices = make_counts(np.random.default_rng(0))
    for matrix, iou in zip(matrices, image_ious(counts), strict=True):
        unions = [matrix[c].sum() + matrix[:, c].sum() - matrix[c, c] for c in range(3)]
        ious = [matrix[c, c] / unions[c] for c in range(3) if unions[c]]
        assert iou == pytest.approx(sum(ious) / len(ious) if ious else 0)


def test_images_are_those_where_the_runs_differ_most_and_others():
    rng = np.random.default_rng(1)
    of_runs = [make_counts(rng)[0] for _ in range(3)]
    ious = [image_ious(counts) for counts in of_runs]
    apart = {place: max(iou[place] for iou in ious) - min(iou[place] for iou in ious) for place in range(20)}
    most, at_random = choose_images(of_runs)
    assert most == sorted(apart, key=apart.get, reverse=True)[:NUM_IMAGES]
    assert len(set(at_random)) == NUM_IMAGES
    assert not set(at_random) & set(most)
    assert choose_images(of_runs) == (most, at_random)


def test_runs_that_are_alike_differ_nowhere():
    counts, _ = make_counts(np.random.default_rng(2), num_images=3)
    assert choose_images([counts]) == choose_images([counts, counts]) == ([], [0, 1, 2])
