"""The examination of a dataset, from the first pair to what its splits are as a whole."""

import functools

from rich.console import Console
from rich.progress import track

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.inspection.findings import Findings
from segtrain.inspection.same_images import tell_of_same_images
from segtrain.inspection.survey import SplitSurvey, survey_split
from segtrain.inspection.whole_splits import tell_of_whole_splits


def examine(dataset: SegmentationDataset, findings: Findings, console: Console) -> list[SplitSurvey]:
    """Reads all of a dataset.

    Args:
        dataset: the dataset.
        findings: takes what is wrong.
        console: where a bar shows how far it is, if it is a terminal.

    Returns:
        Counts over each split.
    """
    surveys = []
    for name, split in dataset.splits.items():
        follow = functools.partial(
            track, description=f"reading {name}", total=len(split), console=console, disable=not console.is_terminal
        )
        surveys.append(survey_split(dataset, name, findings.tell, follow))
    tell_of_same_images(dataset, surveys, findings.tell)
    tell_of_whole_splits(dataset, surveys, findings)
    return surveys
