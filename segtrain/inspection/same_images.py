"""Finds images that are in a dataset more than once, by their pixels."""

from collections.abc import Iterator, Sequence

import numpy as np

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.problems import Problem, Tell
from segtrain.inspection.broken_pairs import image_source
from segtrain.inspection.survey import SplitSurvey


def tell_of_same_images(dataset: SegmentationDataset, surveys: Sequence[SplitSurvey], tell: Tell) -> None:
    """Tells of images that are in two splits (leakage), and of those that are twice in one."""
    for (split, index), (first_split, first_index) in find_same_images(surveys):
        image = image_source(dataset.split(split), index)
        first = image_source(dataset.split(first_split), first_index)
        if split == first_split:
            detail = f"{image}: the same pixels as {first}. The image counts twice in '{split}'; take one out."
            tell(Problem("duplicate", image, detail))
        else:
            detail = (
                f"{image}: the same pixels as {first}, one in '{split}' and the other in '{first_split}'. A score on "
                "images that were trained on says nothing; take it out of one of the splits."
            )
            tell(Problem("leakage", image, detail))


def find_same_images(surveys: Sequence[SplitSurvey]) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Yields split and index of each image that was there before, and of the first with the same pixels.

    Args:
        surveys: in the order that says which is the first.
    """
    digests = np.concatenate([survey.digests[survey.was_read] for survey in surveys])
    splits = np.repeat(np.arange(len(surveys)), [survey.was_read.sum() for survey in surveys])
    indices = np.concatenate([np.flatnonzero(survey.was_read) for survey in surveys])
    # Sorted by digest, and where that is equal by place, since the sort is stable.
    order = np.lexsort(digests.T)
    begins = np.ones(len(order), bool)
    begins[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    firsts = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    for place, first in sorted(zip(order[~begins], firsts[~begins], strict=True)):
        yield (*((surveys[splits[each]].name, int(indices[each])) for each in (place, first)),)
