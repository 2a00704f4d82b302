"""Chooses samples to look at, as they are and as augmentation makes them."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segtrain.augmentations.augmentation import Augmentation
from segtrain.datasets.dataset import SegmentationDataset, spread_evenly
from segtrain.inspection.findings import printable
from segtrain.inspection.survey import SplitSurvey
from segtrain.pipeline.samples import Samples

SAMPLES_OF_TRAIN = 8
SAMPLES_OF_OTHERS = 4
AUGMENTED_SAMPLES = 3
DRAWS = 3
SAMPLES_TRIED = 5


@dataclass(frozen=True)
class Sample:
    """An image and its labels at any size: uint8 `(height, width, channels)` and `(height, width)`, with a caption."""

    caption: str
    image: np.ndarray
    labels: np.ndarray


def gather_samples(dataset: SegmentationDataset, surveys: Sequence[SplitSurvey]) -> Iterator[Sample]:
    """Yields some samples of each split at their own size, read one by one; of broken pairs there are none."""
    for survey in surveys:
        samples = dataset.split(survey.name)
        for index in choose_samples(survey, SAMPLES_OF_TRAIN if survey.name == "train" else SAMPLES_OF_OTHERS):
            yield Sample(f"{survey.name}: {printable(samples.name(index))}", *samples.read(index))


def gather_draws(
    dataset: SegmentationDataset,
    surveys: Sequence[SplitSurvey],
    augmentation: Augmentation,
    *,
    image_size: tuple[int, int] | None,
    seed: int,
) -> Iterator[list[Sample]]:
    """Yields some samples at the network's size, each followed by what training sees of it in the first epochs.

    Args:
        dataset: the dataset.
        surveys: counts over its splits, of which the training split counts.
        augmentation: the run's.
        image_size: `(height, width)` of the network; None leaves each image at its own.
        seed: the run's.

    Raises:
        ValueError: the augmentation cannot be used.
    """
    for survey in (survey for survey in surveys if survey.is_sound.any() and survey.name == "train"):
        samples = _as_trained(dataset, augmentation, image_size, seed)
        for index in choose_samples(survey, AUGMENTED_SAMPLES):
            yield [
                Sample(printable(samples.name(index)), *samples.at_network_size(index)),
                *(Sample(f"epoch {epoch + 1}", *_augmented(samples, index, epoch)) for epoch in range(DRAWS)),
            ]


def try_augmentation(
    dataset: SegmentationDataset, augmentation: Augmentation, *, image_size: tuple[int, int] | None, seed: int
) -> None:
    """Augments the first sample of the training split that can be read, before all of them are.

    Raises:
        ValueError: the augmentation cannot be used.
    """
    for index in range(min(SAMPLES_TRIED, len(dataset.splits.get("train", ())))):
        try:
            samples = _as_trained(dataset, augmentation, image_size, seed)
            samples.at_network_size(index)
        except Exception:  # a fault of the data, which the survey tells
            continue
        _augmented(samples, index, epoch=0)
        return


def _as_trained(dataset, augmentation, image_size, seed) -> Samples:
    uncached = dataclasses.replace(dataset, cache="none")
    return Samples(uncached, "train", image_size=image_size, augmentation=augmentation, seed=seed)


def _augmented(samples: Samples, index: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        return samples.augmented(index, epoch)
    except ValueError:
        raise
    except Exception as error:  # a transform of anybody's may raise anything
        raise ValueError(f"augmentation: {type(error).__name__} on {samples.name(index)}: {error}") from error


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
