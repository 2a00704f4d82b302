"""A run for people: the table on the terminal and report.html."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segtrain.evaluation.predictions import Predictions
from segtrain.evaluation.split_scores import SplitScores
from segtrain.reports.confusion_matrix import draw_confusion_matrix
from segtrain.reports.curves import draw_curves
from segtrain.reports.page import as_html, picture_source, show_score, write_page
from segtrain.reports.score_gallery import draw_gallery
from segtrain.reports.terminal import print_line
from segtrain.run_folder import RunFolder

MEANS = (
    ("mean IoU", "mean_iou"),
    ("boundary F1", "boundary_f1"),
    ("mean class accuracy", "mean_class_accuracy"),
    ("pixel accuracy", "pixel_accuracy"),
    ("pixel accuracy, mean over images", "mean_image_accuracy"),
    ("mean Dice", "mean_dice"),
    ("frequency-weighted IoU", "frequency_weighted_iou"),
)


def print_scores(console: Console, scores: dict[str, Any], *, title: str, contract: dict[str, Any]) -> None:
    """Prints IoU and boundary F1 of each class, the means of a split, and what they are worth.

    Args:
        console: where to.
        scores: one split of results.json.
        title: above the table.
        contract: see `segtrain.training.scores.metric_contract`.
    """
    table = Table(title=escape(title), min_width=len(title) + 2)
    table.add_column("class")
    table.add_column("IoU", justify="right")
    table.add_column("boundary F1", justify="right")
    for name, iou in scores["per_class_iou"].items():
        table.add_row(escape(name), show_score(iou), show_score(scores["per_class_boundary_f1"][name]))
    table.add_section()
    for label, key in MEANS:
        table.add_row(label, show_score(scores[key]))
    console.print(table)
    if scores["absent_classes"]:
        print_line(console, f"in neither truth nor prediction: {', '.join(scores['absent_classes'])}")
    print_line(
        console,
        f"{scores['num_images']} images at {contract['evaluated_at']}; {contract['num_classes']} classes, void label "
        f"{contract['ignore_label']}; convention {contract['convention']}: "
        f"{contract['rule']}",
    )


def write_report(
    folder: RunFolder,
    results: dict[str, Any],
    epochs: Sequence[dict[str, float]],
    scores: SplitScores | None = None,
    predictions: Predictions | None = None,
) -> None:
    """Writes report.html: scores, curves, confusion matrix, gallery, pictures of the training, config, environment.

    Args:
        folder: the run's folder, with results.json and the pictures in it.
        results: what results.json holds.
        epochs: logs of each epoch.
        scores: the validation split's; without them there is no confusion matrix and no gallery.
        predictions: what was scored, to draw some of it.
    """
    pictures = sorted((_epoch_of(path), path) for path in folder.predictions.glob("epoch_*.png"))
    confusion = gallery = None
    if scores is not None and predictions is not None:
        confusion = as_html(draw_confusion_matrix(scores.confusion_matrix, results["dataset"]["class_names"]))
        gallery = draw_gallery(predictions, scores.extremes, scores.scores.per_class_iou)
    write_page(
        folder.report,
        "run_report",
        results=results,
        means=MEANS,
        curves=as_html(draw_curves(epochs)),
        confusion=confusion,
        gallery=gallery,
        pictures=[(_caption(epoch), picture_source(path)) for epoch, path in reversed(pictures)],
        config=folder.config.read_text(encoding="utf-8"),
    )


def _epoch_of(path: Path) -> int:
    return int(path.stem.removeprefix("epoch_"))


def _caption(epoch: int) -> str:
    return "before training" if epoch == 0 else f"after epoch {epoch}"
