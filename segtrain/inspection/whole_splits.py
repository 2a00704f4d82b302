"""What is wrong with splits as a whole: empty, nothing but void, classes that are missing."""

from collections.abc import Sequence

import numpy as np

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.problems import Problem
from segtrain.inspection.findings import Findings
from segtrain.inspection.survey import SplitSurvey

# What a run cannot do without.
NEEDED_SPLITS = ("train", "val")


def tell_of_whole_splits(dataset: SegmentationDataset, surveys: Sequence[SplitSurvey], findings: Findings) -> None:
    """Tells of empty splits, of those that hold nothing but void, and of classes that a split has no pixel of."""
    for name in NEEDED_SPLITS:
        if name not in dataset.splits:
            detail = f"{dataset.name} has no split '{name}'. A run needs images in train and in val."
            findings.tell(Problem("empty_split", name, detail))
    for survey in surveys:
        if not survey.count:
            detail = f"{dataset.name}: the split '{survey.name}' is empty. A run needs images in train and in val."
            findings.tell(Problem("empty_split", survey.name, detail))
        elif survey.is_all_void:
            detail = (
                f"{dataset.name}: the masks of the split '{survey.name}' hold nothing but {dataset.ignore_label}, the "
                "void label, so there is nothing to learn or to score. Set dataset.ignore_label to the label that is "
                "void in them."
            )
            findings.tell(Problem("all_void", survey.name, detail), serious=True)
        elif survey.was_read.any():
            _tell_of_absent_classes(dataset, survey, findings)


def _tell_of_absent_classes(dataset: SegmentationDataset, survey: SplitSurvey, findings: Findings) -> None:
    is_train = survey.name == "train"
    consequence = (
        "nothing teaches it. Add images that show it, or take it out of the classes"
        if is_train
        else "its IoU there is not known and is left out of the mean. Add images that show it"
    )
    for class_id in np.flatnonzero(survey.class_pixels == 0):
        name = dataset.class_names[class_id]
        detail = f"No mask of '{survey.name}' has class {class_id}, {name}: {consequence}."
        findings.tell(Problem("absent_class", survey.name, detail), serious=is_train)
