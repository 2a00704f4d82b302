"""Chooses samples to look at, as they are and as augmentation makes them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from segtrain.augmentations.augmentation import Augmentation
from segtrain.datasets.dataset import SegmentationDataset, spread_evenly
from segtrain.inspection.findings import printable
from segtrain.inspection.survey import SplitSurvey
from segtrain.pipeline.samples import Samples
from segtrain.reports.sample_sheets import Sample

SAMPLES_OF_TRAIN = 8
SAMPLES_OF_OTHERS = 4
AUGMENTED_SAMPLES = 3
DRAWS = 3


def gather_samples(dataset: SegmentationDataset, surveys: Sequence[SplitSurvey]) -> list[Sample]:
    """Returns some samples of each split at their own size; of broken pairs there are none."""
    gathered = []
    for survey in surveys:
        samples = dataset.split(survey.name)
        for index in choose_samples(survey, SAMPLES_OF_TRAIN if survey.name == "train" else SAMPLES_OF_OTHERS):
            gathered.append(Sample(f"{survey.name}: {printable(samples.name(index))}", *samples.read(index)))
    return gathered


def gather_draws(
    dataset: SegmentationDataset,
    survey: SplitSurvey,
    augmentation: Augmentation,
    *,
    image_size: tuple[int, int],
    seed: int,
) -> list[list[Sample]]:
    """Returns some samples at the network's size, each followed by what training sees of it in the first epochs.

    Args:
        dataset: the dataset.
        survey: counts over its training split.
        augmentation: the run's.
        image_size: `(height, width)` of the network.
        seed: the run's.

    Raises:
        ValueError: the augmentation does not return what a run needs.
    """
    chosen = choose_samples(survey, AUGMENTED_SAMPLES)
    if not chosen:
        return []
    samples = Samples(
        dataclasses.replace(dataset, cache="none"), survey.name,
        image_size=image_size, augmentation=augmentation, seed=seed,
    )  # fmt: skip
    return [
        [
            Sample(printable(samples.name(index)), *samples.at_network_size(index)),
            *(Sample(f"epoch {epoch + 1}", *samples.augmented(index, epoch)) for epoch in range(DRAWS)),
        ]
        for index in chosen
    ]


def choose_samples(survey: SplitSurvey, most: int) -> list[int]:
    """Returns the indices of up to `most` sound pairs: half show the rarest classes best, the rest is spread evenly.

    Args:
        survey: counts over the split.
        most: how many.
    """
    rarest_first = np.argsort(np.where(survey.most_of >= 0, survey.class_pixels, np.inf), kind="stable")
    showing = [int(survey.most_of[class_id]) for class_id in rarest_first if survey.most_of[class_id] >= 0]
    chosen = list(dict.fromkeys(showing))[: most // 2]
    others = np.setdiff1d(np.flatnonzero(survey.is_sound), chosen)
    chosen += others[spread_evenly(len(others), most - len(chosen))].tolist()
    return sorted(chosen)
