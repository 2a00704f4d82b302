"""Which runs and which images to look at side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segtrain.comparison.configurations import Configuration
from segtrain.comparison.jobs import Job
from segtrain.evaluation.image_counts import ImageCounts, read_image_counts

MOST_CONFIGURATIONS = 6
# Of each: where the runs differ most, and at random.
NUM_IMAGES = 4
# The random ones stay the same however often a sweep is compared.
SEED_OF_CHOICE = 0


@dataclass(frozen=True)
class ShownRun:
    """The run that stands for a configuration, with what was counted in each image."""

    configuration: str
    job: Job
    counts: ImageCounts


def choose_runs(configurations: Sequence[Configuration]) -> tuple[list[ShownRun], dict[str, str]]:
    """Returns for each of the best configurations its run with the median mean IoU, and by name why some have none.

    All are scored on the same images, those of the best configuration's run; of an even number of runs, the lower of
    the two in the middle.

    Args:
        configurations: the best first.
    """
    shown: list[ShownRun] = []
    left_out = {}
    for configuration in configurations[:MOST_CONFIGURATIONS]:
        scored = [job for job in configuration.completed if job.results["val"]["mean_iou"] is not None]
        runs = [run for job in scored if (run := _read(configuration.name, job))]
        of_same_images = [run for run in runs if not shown or _have_same_images(run, shown[0])]
        if of_same_images:
            ranked = sorted(of_same_images, key=lambda run: run.job.results["val"]["mean_iou"])
            shown.append(ranked[(len(ranked) - 1) // 2])
        elif runs:
            left_out[configuration.name] = "scored on other images"
        elif scored:
            left_out[configuration.name] = "no run has both checkpoints/best.keras and per_image.npz"
    return shown, left_out


def choose_images(of_runs: Sequence[ImageCounts]) -> tuple[list[int], list[int]]:
    """Returns the places of the images where the runs' IoU differ most, that most first, and of others at random.

    Args:
        of_runs: what was counted in the same images; of a single run none is where it differs.
    """
    ious = np.stack([image_ious(counts) for counts in of_runs])
    apart = ious.max(axis=0) - ious.min(axis=0)
    most = [int(place) for place in np.argsort(-apart, kind="stable")[:NUM_IMAGES] if apart[place] > 0]
    others = np.setdiff1d(np.arange(ious.shape[1]), most)
    drawn = np.random.default_rng(SEED_OF_CHOICE).choice(others, min(NUM_IMAGES, len(others)), replace=False)
    return most, sorted(drawn.tolist())


def image_ious(counts: ImageCounts) -> np.ndarray:
    """Returns each image's IoU, the mean over the classes in its truth or prediction, float64 `(images,)` in 0..1."""
    union = counts.in_truth + counts.in_prediction - counts.right
    ious = np.divide(counts.right, union, out=np.zeros_like(union), where=union > 0)
    return ious.sum(axis=1) / np.maximum((union > 0).sum(axis=1), 1)


def _read(configuration: str, job: Job) -> ShownRun | None:
    if not job.folder.best_model.is_file():
        return None
    try:
        return ShownRun(configuration, job, read_image_counts(job.folder.image_counts))
    except (OSError, ValueError):
        return None


def _have_same_images(run: ShownRun, other: ShownRun) -> bool:
    if run.counts.names != other.counts.names:
        return False
    sizes = [each.job.results.get("metric_contract", {}).get("evaluated_at") for each in (run, other)]
    # Generated images have the same names whatever they show.
    return sizes[0] != sizes[1] or np.array_equal(run.counts.in_truth, other.counts.in_truth)
