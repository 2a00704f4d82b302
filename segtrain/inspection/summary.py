"""What was found, as plain values: what inspect.json holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.mask_coding import ValueSummary
from segtrain.inspection.findings import Findings
from segtrain.inspection.mask_values import may_be_misread, suggest_for, suggestion_as_dict, values_as_dict
from segtrain.inspection.survey import SplitSurvey
from segtrain.pipeline.class_balance import median_frequency_weights
from segtrain.training.scores import plain_number


def summarise(
    dataset: SegmentationDataset, surveys: Sequence[SplitSurvey], findings: Findings, option: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what inspect.json holds.

    Args:
        dataset: the dataset.
        surveys: counts over each split.
        findings: what is wrong.
        option: the dataset's settings.
    """
    by_split = {survey.name: survey for survey in surveys}
    weights = [None] * dataset.num_classes
    if "train" in by_split:
        train = by_split["train"]
        weights = list(map(plain_number, median_frequency_weights(train.class_pixels, train.pixels_of_images)))
    values = sum((survey.values for survey in surveys), ValueSummary())
    suggestion = suggest_for(values, option, dataset.ignore_label)
    is_told = suggestion and suggestion.settings and may_be_misread(findings.counts("error"), option)
    return {
        "dataset": dataset.name,
        **dataset.facts(),
        "splits": {name: _split_as_dict(survey, dataset) for name, survey in by_split.items()},
        "median_frequency_weights": weights,
        "mask_values": values_as_dict(values, suggestion) if suggestion else None,
        "suggestion": suggestion_as_dict(suggestion) if is_told else None,
        **problems_as_dict(findings),
    }


def problems_as_dict(findings: Findings) -> dict[str, Any]:
    """Returns the part of inspect.json that tells of problems; `problems` has the first of each kind, if many."""
    return {
        "errors": findings.counts("error"),
        "warnings": findings.counts("warning"),
        "problems": [finding.as_dict() for finding in findings.kept()],
    }


def _split_as_dict(survey: SplitSurvey, dataset: SegmentationDataset) -> dict[str, Any]:
    return {
        "count": survey.count,
        "read": int(survey.was_read.sum()),
        "unusable": int(survey.count - survey.is_sound.sum()),
        "sizes": {f"{height}x{width}": count for (height, width), count in survey.sizes.most_common()},
        "image_kinds": dict(survey.image_kinds.most_common()),
        "class_pixels": survey.class_pixels.tolist(),
        "class_images": survey.class_images.tolist(),
        "void_pixels": survey.void_pixels,
        "wrong_pixels": survey.wrong_pixels,
        "absent_classes": [dataset.class_names[class_id] for class_id in (survey.class_pixels == 0).nonzero()[0]],
    }
