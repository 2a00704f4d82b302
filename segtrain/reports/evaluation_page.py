"""report.html of an evaluation."""

from typing import Any

from segtrain.evaluation.predictions import Predictions
from segtrain.evaluation.split_scores import SplitScores
from segtrain.reports.confusion_matrix import draw_confusion_matrix
from segtrain.reports.page import as_html, write_page
from segtrain.reports.run_report import MEANS
from segtrain.reports.score_gallery import draw_gallery
from segtrain.run_folder import RunFolder


def write_evaluation_page(
    folder: RunFolder, results: dict[str, Any], split: str, scores: SplitScores, predictions: Predictions
) -> None:
    """Writes report.html: scores, classes, confusion matrix, the worst images, and how it was evaluated.

    Args:
        folder: the evaluation's folder.
        results: what results.json holds.
        split: the split that was scored.
        scores: its scores.
        predictions: what was scored, to draw some of it.
    """
    write_page(
        folder.report,
        "evaluation",
        results=results,
        means=MEANS,
        split=split,
        scores=results[split],
        confusion=as_html(draw_confusion_matrix(scores.confusion_matrix, results["dataset"]["class_names"])),
        gallery=draw_gallery(predictions, scores.extremes, scores.scores.per_class_iou),
    )
