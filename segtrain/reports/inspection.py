"""What `segtrain inspect` found, as inspect.json, as tables on the terminal, and as inspect.html."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import segtrain
from segtrain.datasets.dataset import SegmentationDataset
from segtrain.inspection.findings import Findings
from segtrain.inspection.gallery import Sample
from segtrain.inspection.summary import problems_as_dict
from segtrain.reports.page import picture_source, show_score, show_share, write_page
from segtrain.reports.sample_sheets import save_picture, sheet_of_draws, sheet_of_samples
from segtrain.reports.terminal import print_line
from segtrain.run_folder import RunFolder

# What the page and the terminal show; inspect.json has more.
PROBLEMS_ON_PAGE = 200
PROBLEMS_ON_TERMINAL = 3
SIZES_SHOWN = 3
KINDS_SHOWN = 4

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


def report_problems(folder: RunFolder, findings: Findings, console: Console) -> None:
    """Writes and prints the problems alone, where there is nothing else to tell."""
    folder.write_inspection(problems_as_dict(findings))
    print_problems(console, problems_as_dict(findings))


def report_inspection(folder: RunFolder, inspection: dict[str, Any], console: Console) -> None:
    """Writes inspect.json and prints its tables."""
    folder.write_inspection(inspection)
    print_inspection(console, inspection)


def draw_samples(folder: RunFolder, samples: Iterable[Sample], dataset: SegmentationDataset) -> dict[str, Path]:
    """Draws samples.png into the output folder. Returns the file by what it shows; nothing where there is no sample."""
    sheet = sheet_of_samples(samples, dataset)
    return _saved(sheet, folder.path / "samples.png", "Samples: images and their masks over them")


def draw_augmented(
    folder: RunFolder, drawn: Iterable[Sequence[Sample]], dataset: SegmentationDataset
) -> dict[str, Path]:
    """Draws augmented.png into the output folder, as `draw_samples` does samples.png.

    Raises:
        ValueError: by the iterator, where the augmentation cannot be used.
    """
    sheet = sheet_of_draws(drawn, dataset)
    return _saved(sheet, folder.path / "augmented.png", "What training sees of a sample, beside the original")


def _saved(sheet: Image.Image | None, path: Path, caption: str) -> dict[str, Path]:
    if sheet is None:
        return {}
    save_picture(sheet, path)
    return {caption: path}


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
    if not inspection["errors"] and not inspection["warnings"]:
        pairs = sum(split["count"] for split in inspection["splits"].values())
        console.print(f"Nothing is wrong with the {pairs:,} pairs.", highlight=False)
    if inspection["suggestion"]:
        told = [f"The masks hold {inspection['mask_values']['looks_like']}. To take all of that for classes, type"]
        for line in [*told, f"  {inspection['suggestion']['typed']}"]:
            print_line(console, line)


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
                print_line(console, f"  {detail}")
            if count > PROBLEMS_ON_TERMINAL:
                console.print(f"  and {count - PROBLEMS_ON_TERMINAL:,} more", highlight=False)


def require_no_errors(inspection: dict[str, Any], failure: str | None = None) -> None:
    """Raises a ValueError that names in a line what would make training wrong, where anything would.

    Args:
        inspection: what inspect.json holds.
        failure: why the augmentation cannot be used, if it cannot.
    """
    told = ", ".join(counted(kind, count) for kind, count in inspection["errors"].items())
    lines = [f"Training with this data would go wrong: {told}. What to do stands with each."] * bool(told)
    lines += [failure] * bool(failure)
    if lines:
        raise ValueError(" ".join(lines))


def counted(kind: str, count: int) -> str:
    """Returns how many problems of a kind there are, in words."""
    return f"{count:,} {NOUNS[kind][count != 1]}"


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
        "kinds_shown": list(split["image_kinds"].items())[:KINDS_SHOWN],
        "kinds_left_out": max(0, len(split["image_kinds"]) - KINDS_SHOWN),
    }


def _table_of_splits(title: str, splits: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("split")
    for column in ("pairs", "unusable", "void"):
        table.add_column(column, justify="right")
    table.add_column("sizes (height x width)", overflow="fold")
    table.add_column("images", overflow="fold")
    for name, split in splits.items():
        table.add_row(
            name,
            f"{split['count']:,}",
            f"{split['unusable']:,}",
            show_share(split["void_share"]),
            _listed(split["sizes_shown"], split["sizes_left_out"]),
            _listed(split["kinds_shown"], split["kinds_left_out"]),
        )
    return table


def _listed(shown: list[tuple[str, int]], left_out: int) -> str:
    """Returns what was counted and how often, a line each."""
    return "\n".join([*(f"{what}: {count:,}" for what, count in shown), *[f"{left_out:,} more"] * bool(left_out)])


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
