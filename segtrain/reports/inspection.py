"""What `segtrain inspect` found, as inspect.json, as tables on the terminal, and as inspect.html."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import segtrain
from segtrain.augmentations.augmentation import Augmentation
from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.mask_coding import ValueSummary
from segtrain.datasets.problems import ProblemKind
from segtrain.inspection.class_balance import median_frequency_weights
from segtrain.inspection.findings import Findings
from segtrain.inspection.gallery import gather_draws, gather_samples
from segtrain.inspection.mask_values import suggest_for, suggestion_as_dict, values_as_dict
from segtrain.inspection.survey import SplitSurvey
from segtrain.reports.page import picture_source, show_score, show_share, write_page
from segtrain.reports.sample_sheets import save_picture, sheet_of_draws, sheet_of_samples
from segtrain.run_folder import RunFolder

# What the page and the terminal show; inspect.json has more.
PROBLEMS_ON_PAGE = 200
PROBLEMS_ON_TERMINAL = 3
SIZES_SHOWN = 3

# Errors that other settings may mend.
MISREAD: set[ProblemKind] = {"wrong_label", "wrong_format"}
# What the kinds of problems are called, one and several.
NOUNS = {
    "unreadable": ("file that cannot be read", "files that cannot be read"),
    "missing_mask": ("image without a mask", "images without a mask"),
    "missing_image": ("mask without an image", "masks without an image"),
    "ambiguous_name": ("name with two files", "names with two files"),
    "wrong_format": ("mask in a format that cannot hold labels", "masks in a format that cannot hold labels"),
    "size_mismatch": ("mask of another size than its image", "masks of another size than their images"),
    "wrong_label": ("mask with a value that is no class", "masks with values that are no class"),
    "all_void": ("mask or split of void alone", "masks or splits of void alone"),
    "empty_split": ("empty split", "empty splits"),
    "leakage": ("image in two splits", "images in two splits"),
    "duplicate": ("image twice in one split", "images twice in one split"),
    "absent_class": ("class absent from a split", "classes absent from splits"),
}


def summarise(
    dataset: SegmentationDataset, surveys: Sequence[SplitSurvey], findings: Findings, option: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what inspect.json holds, as plain values.

    Args:
        dataset: the dataset.
        surveys: counts over each split.
        findings: what is wrong.
        option: the dataset's settings.
    """
    by_split = {survey.name: survey for survey in surveys}
    weights = [None] * dataset.num_classes
    if "train" in by_split:
        weights = median_frequency_weights(by_split["train"].class_pixels, by_split["train"].pixels_of_images)
    values = sum((survey.values for survey in surveys), ValueSummary())
    suggestion = suggest_for(values, option, dataset.ignore_label)
    mendable = MISREAD if option.get("classes") else {*MISREAD, "absent_class"}  # a class that was named is missed
    misread = mendable & set(findings.counts("error")) and suggestion and suggestion.settings
    return {
        "dataset": dataset.name,
        "class_names": list(dataset.class_names),
        "ignore_label": dataset.ignore_label,
        "palette": [list(colour) for colour in dataset.palette],
        "channels": dataset.channels,
        "splits": {name: _split_as_dict(survey, dataset) for name, survey in by_split.items()},
        "median_frequency_weights": weights,
        "mask_values": values_as_dict(values, suggestion) if suggestion else None,
        "suggestion": suggestion_as_dict(suggestion) if misread else None,
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
        "class_pixels": survey.class_pixels.tolist(),
        "class_images": survey.class_images.tolist(),
        "void_pixels": survey.void_pixels,
        "absent_classes": [dataset.class_names[class_id] for class_id in (survey.class_pixels == 0).nonzero()[0]],
    }


def report_problems(folder: RunFolder, findings: Findings, console: Console) -> None:
    """Writes and prints the problems alone, where there is nothing else to tell."""
    folder.write_inspection(problems_as_dict(findings))
    print_problems(console, problems_as_dict(findings))


def report_inspection(folder: RunFolder, inspection: dict[str, Any], console: Console) -> None:
    """Writes inspect.json and prints its tables."""
    folder.write_inspection(inspection)
    print_inspection(console, inspection)


def draw_pictures(
    folder: RunFolder,
    dataset: SegmentationDataset,
    surveys: Sequence[SplitSurvey],
    augmentation: Augmentation,
    image_size: tuple[int, int],
    seed: int,
) -> dict[str, Path]:
    """Draws samples.png and augmented.png into the output folder; without a sound pair there is nothing to draw.

    Args:
        folder: where to.
        dataset: the dataset.
        surveys: counts over each split.
        augmentation: the run's.
        image_size: `(height, width)` of the network.
        seed: the run's.

    Returns:
        The files by what they show.

    Raises:
        ValueError: the augmentation does not return what a run needs.
    """
    drawn = {}
    samples = gather_samples(dataset, surveys)
    if samples:
        drawn["Samples: images and their masks over them"] = folder.path / "samples.png"
        save_picture(sheet_of_samples(samples, dataset), folder.path / "samples.png")
    for survey in (survey for survey in surveys if survey.name == "train"):
        draws = gather_draws(dataset, survey, augmentation, image_size=image_size, seed=seed)
        if draws:
            drawn["What training sees of a sample, beside the original"] = folder.path / "augmented.png"
            save_picture(sheet_of_draws(draws, dataset), folder.path / "augmented.png")
    return drawn


def write_inspection_page(folder: RunFolder, inspection: dict[str, Any], pictures: dict[str, Path]) -> None:
    """Writes inspect.html.

    Args:
        folder: the output folder, with the pictures in it.
        inspection: what inspect.json holds.
        pictures: files by what they show.
    """
    problems = inspection["problems"]
    write_page(
        folder.inspection_page,
        "inspection",
        inspection=inspection,
        splits={name: _for_reading(split) for name, split in inspection["splits"].items()},
        counts=[
            (severity, counted(kind, count))
            for severity in ("error", "warning")
            for kind, count in inspection[f"{severity}s"].items()
        ],
        problems=problems[:PROBLEMS_ON_PAGE],
        num_problems=sum(inspection["errors"].values()) + sum(inspection["warnings"].values()),
        version=segtrain.__version__,
        pictures=[(caption, picture_source(path)) for caption, path in pictures.items()],
    )


def print_inspection(console: Console, inspection: dict[str, Any]) -> None:
    """Prints counts, sizes, shares of each class, problems and what to type, narrow enough for 80 columns."""
    splits = {name: _for_reading(split) for name, split in inspection["splits"].items()}
    console.print(_table_of_splits(inspection["dataset"], splits))
    console.print(_table_of_classes(inspection, splits))
    print_problems(console, inspection)
    if inspection["suggestion"]:
        told = [f"The masks hold {inspection['mask_values']['looks_like']}. To take all of that for classes, type"]
        for line in [*told, f"  {inspection['suggestion']['typed']}"]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_problems(console: Console, problems: dict[str, Any]) -> None:
    """Prints how many problems of each kind there are, and the first of them.

    Args:
        console: where to.
        problems: `problems_as_dict`, or all of inspect.json.
    """
    for severity, style in (("error", "red"), ("warning", "yellow")):
        for kind, count in problems[f"{severity}s"].items():
            console.print(f"[{style}]{severity}[/] {counted(kind, count)}", highlight=False)
            details = [
                each["detail"] for each in problems["problems"] if (each["kind"], each["severity"]) == (kind, severity)
            ]
            for detail in details[:PROBLEMS_ON_TERMINAL]:
                console.print(f"  {detail}", markup=False, highlight=False, soft_wrap=True)
            if count > PROBLEMS_ON_TERMINAL:
                console.print(f"  and {count - PROBLEMS_ON_TERMINAL} more", highlight=False)


def require_no_errors(inspection: dict[str, Any]) -> None:
    """Raises a ValueError that names in a line what would make training wrong, where anything would."""
    told = ", ".join(counted(kind, count) for kind, count in inspection["errors"].items())
    if told:
        raise ValueError(f"Training with this data would go wrong: {told}. What to do stands with each.")


def counted(kind: str, count: int) -> str:
    """Returns how many problems of a kind there are, in words."""
    return f"{count} {NOUNS[kind][count != 1]}"


def _for_reading(split: dict[str, Any]) -> dict[str, Any]:
    """Returns a split's counts as shares: of all valid pixels, and of the masks that were read."""
    valid, images = sum(split["class_pixels"]), split["read"]
    counted_pixels = valid + split["void_pixels"]
    return {
        **split,
        "pixel_shares": [pixels / valid if valid else 0.0 for pixels in split["class_pixels"]],
        "image_shares": [number / images if images else 0.0 for number in split["class_images"]],
        "void_share": split["void_pixels"] / counted_pixels if counted_pixels else 0.0,
        "sizes_shown": list(split["sizes"].items())[:SIZES_SHOWN],
        "sizes_left_out": max(0, len(split["sizes"]) - SIZES_SHOWN),
    }


def _table_of_splits(title: str, splits: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("split")
    for column in ("pairs", "unusable", "void"):
        table.add_column(column, justify="right")
    table.add_column("sizes (height x width)", overflow="fold")
    for name, split in splits.items():
        sizes = [f"{size}: {count}" for size, count in split["sizes_shown"]]
        sizes += [f"{split['sizes_left_out']} more"] * bool(split["sizes_left_out"])
        table.add_row(
            name, f"{split['count']:,}", f"{split['unusable']:,}", show_share(split["void_share"]), ", ".join(sizes)
        )
    return table


def _table_of_classes(inspection: dict[str, Any], splits: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        title="shares, and weight by median frequency",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("class", overflow="fold", max_width=24)
    for name in splits:
        table.add_column(f"{name}\npixels", justify="right", no_wrap=True)
        table.add_column(f"{name}\nmasks", justify="right", no_wrap=True)
    table.add_column("weight", justify="right", no_wrap=True)
    for class_id, name in enumerate(inspection["class_names"]):
        shares = [
            show_share(split[share][class_id])
            for split in splits.values()
            for share in ("pixel_shares", "image_shares")
        ]
        table.add_row(escape(name), *shares, show_score(inspection["median_frequency_weights"][class_id]))
    return table
