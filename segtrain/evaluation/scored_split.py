"""Scores a split, and writes what does not fit into one number: the scores of each image, the confusion matrix."""

from typing import Any

from rich.console import Console

from segtrain.reports.terminal import followed
from segtrain.run_folder import RunFolder


def score_split(predictions: Any, convention: str, folder: RunFolder, console: Console) -> tuple[Any, dict[str, Any]]:
    """Returns a split's scores, and which images to look at; writes those of each image and the confusion matrix."""
    from segtrain.evaluation.split_scores import evaluate_split
    from segtrain.reports.confusion_matrix import save_confusion_picture, write_confusion_csv

    follow = followed("scoring", len(predictions.samples), console)
    scores = evaluate_split(predictions, convention, folder.per_image_scores, follow)
    class_names = predictions.samples.dataset.class_names
    write_confusion_csv(folder.confusion_csv, scores.confusion_matrix, class_names)
    save_confusion_picture(folder.confusion_picture, scores.confusion_matrix, class_names)
    return scores, scores.extremes.as_dict(class_names)
