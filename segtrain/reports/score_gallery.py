"""Pictures of the worst and best predictions, for pages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.evaluation.extremes import Extremes, RankedImage
from segtrain.evaluation.predictions import Predictions
from segtrain.pipeline.resizing import resize_image, resize_labels
from segtrain.reports.pictures import RIGHT_COLOUR, VOID_COLOUR, WRONG_COLOUR, labels_source, photo_source

WIDEST = 320
WIDEST_OF_CLASS = 200
# Pages stay below a few MB: of more classes than this the ones with the lowest IoU have pictures.
CLASSES_SHOWN = 24
FOUND_COLOUR, INVENTED_COLOUR = (66, 165, 245), (255, 202, 40)


@dataclass(frozen=True)
class Example:
    """An image of the gallery.

    Attributes:
        name: its name.
        score: its mean IoU, or of a class's example the IoU of the class in it.
        sources: the `src` of input, truth, prediction and errors; of a class's example, of the input and of what was
            found.
    """

    name: str
    score: float
    sources: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """What a page shows of a split.

    Attributes:
        worst: images, worst first.
        of_class: the worst and the best example of each class shown, by class id.
        num_found: classes that are in some truth or prediction.
    """

    worst: list[Example]
    of_class: dict[int, list[Example]]
    num_found: int


def draw_gallery(predictions: Predictions, extremes: Extremes, per_class_iou: np.ndarray) -> Gallery:
    """Reads and predicts the images to look at once more, one by one, and draws them.

    Args:
        predictions: what was scored.
        extremes: which images to draw.
        per_class_iou: float64 `(classes,)`; decides which classes are shown where there are many.
    """
    dataset = predictions.samples.dataset
    shown = [class_id for class_id in np.argsort(per_class_iou, kind="stable") if extremes.worst_of(class_id)]
    examples = {class_id: _ends(extremes, class_id) for class_id in sorted(map(int, shown[:CLASSES_SHOWN]))}
    indices = {image.index for image in extremes.worst}
    indices |= {image.index for images in examples.values() for image in images}
    rows, tiles = {}, {}
    for index in sorted(indices):
        image, truth, predicted = predictions.predict(index)
        if any(ranked.index == index for ranked in extremes.worst):
            rows[index] = _draw_row(*_shrunk(image, truth, predicted, WIDEST), dataset)
        small = _shrunk(image, truth, predicted, WIDEST_OF_CLASS)
        for class_id, images in examples.items():
            if any(ranked.index == index for ranked in images):
                tiles[class_id, index] = _draw_class(*small, class_id, dataset)
    return Gallery(
        worst=[Example(ranked.name, ranked.score, rows[ranked.index]) for ranked in extremes.worst],
        of_class={
            class_id: [Example(ranked.name, ranked.score, tiles[class_id, ranked.index]) for ranked in images]
            for class_id, images in examples.items()
        },
        num_found=len(shown),
    )


def _ends(extremes: Extremes, class_id: int) -> list[RankedImage]:
    """Returns the image where a class is predicted worst, and the one where it is best if it is found in another."""
    worst = extremes.worst_of(class_id)[0]
    return [worst, *(best for best in extremes.best_of(class_id)[:1] if best.index != worst.index)]


def _shrunk(image, truth, predicted, widest):
    height, width = truth.shape
    scale = min(1.0, widest / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return resize_image(image, size), resize_labels(truth, size), resize_labels(predicted, size)


def _draw_row(image, truth, predicted, dataset: SegmentationDataset) -> list[str]:
    errors = np.where(truth == predicted, 0, 1)
    errors[truth == dataset.ignore_label] = 2
    return [
        photo_source(image),
        labels_source(truth, dataset.palette),
        labels_source(predicted, dataset.palette),
        labels_source(errors, (RIGHT_COLOUR, WRONG_COLOUR, VOID_COLOUR)),
    ]


def _draw_class(image, truth, predicted, class_id: int, dataset: SegmentationDataset) -> list[str]:
    parts = 1 * ((truth == class_id) & (predicted == class_id))
    parts[(truth == class_id) & (predicted != class_id)] = 2
    parts[(truth != class_id) & (predicted == class_id)] = 3
    parts[truth == dataset.ignore_label] = 4
    return [
        photo_source(image),
        labels_source(parts, (RIGHT_COLOUR, FOUND_COLOUR, WRONG_COLOUR, INVENTED_COLOUR, VOID_COLOUR)),
    ]
