"""Input, what each configuration makes of it, and truth, side by side."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from segtrain.comparison.configurations import Configuration
from segtrain.comparison.side_by_side import ShownRun, choose_images, choose_runs, image_ious
from segtrain.datasets.data_folder import nothing_prepared
from segtrain.datasets.dataset import SegmentationDataset
from segtrain.parts import open_dataset
from segtrain.pipeline.resizing import resize_image, resize_labels
from segtrain.pipeline.samples import Samples
from segtrain.quiet_start import native_messages_to
from segtrain.reports.pictures import VOID_COLOUR, labels_source, photo_source
from segtrain.reports.terminal import followed
from segtrain.settings import read_settings_of_run

WIDEST = 320


@dataclass(frozen=True)
class Tile:
    """A picture: `label` is under it, `iou` that of the prediction in the image, None for input and truth."""

    label: str
    iou: float | None
    source: str


@dataclass(frozen=True)
class Row:
    """An image, and whether it is one of those where the runs differ most."""

    name: str
    differs: bool
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class SideBySide:
    """What the page shows.

    Attributes:
        rows: the images.
        runs: of which run each configuration's predictions are: names of the configuration and of the run, and seed.
        legend: colour and name of each class that is to be seen, void among them.
        left_out: why configurations are not there, by name.
    """

    rows: Sequence[Row] = ()
    runs: Sequence[tuple[str, str, int]] = ()
    legend: Sequence[tuple[str, Sequence[int]]] = ()
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)


def draw_side_by_side(
    configurations: Sequence[Configuration], console: Console, allow_targets: Sequence[str] = ()
) -> SideBySide:
    """Predicts a few images with a run of each of the best configurations, one after another.

    What a run's pictures fail of, such as data or a checkpoint that are gone, is told and costs the others nothing.
    Data that is not there is not downloaded for them.

    Args:
        configurations: the best first.
        console: shows how far it is.
        allow_targets: see `segtrain.settings.read_settings`.
    """
    runs, left_out = choose_runs(configurations)
    if not runs:
        return SideBySide(left_out=left_out)
    most, at_random = choose_images([run.counts for run in runs])
    places = [*most, *at_random]
    predicted: list[tuple[ShownRun, list[np.ndarray]]] = []
    images: list[tuple[np.ndarray, np.ndarray]] = []
    for run in followed("pictures", len(runs), console)(runs):
        try:
            samples = _samples_of(run, allow_targets)
            of_run = _predict(run, samples, places)
        except Exception as error:  # whatever it is, the numbers are there, and a sweep may have taken days
            left_out[run.configuration] = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            continue
        if not predicted:
            images, dataset = [(image, truth) for image, truth, _ in of_run], samples.dataset
        predicted.append((run, [labels for _, _, labels in of_run]))
    if not predicted:
        return SideBySide(left_out=left_out)
    ious = {run.configuration: image_ious(run.counts) for run, _ in predicted}
    rows = []
    for number, (place, (image, truth)) in enumerate(zip(places, images, strict=True)):
        tiles = [Tile("input", None, photo_source(_shrunk(image, resize_image)))]
        for run, of_images in predicted:
            source = _labels(of_images[number], dataset)
            tiles.append(Tile(run.configuration, float(ious[run.configuration][place]), source))
        tiles.append(Tile("truth", None, _labels(truth, dataset)))
        rows.append(Row(runs[0].counts.names[place], number < len(most), tiles))
    seen = [truth for _, truth in images] + [labels for _, of_images in predicted for labels in of_images]
    told = [(run.configuration, run.job.name, run.job.results["seed"]) for run, _ in predicted]
    return SideBySide(rows, told, _legend(seen, dataset), left_out)


def _samples_of(run: ShownRun, allow_targets: Sequence[str]) -> Samples:
    settings = read_settings_of_run(run.job.folder.config, allow_targets)
    with nothing_prepared("pictures"):
        dataset = dataclasses.replace(open_dataset(settings.dataset), cache="none")  # each image is read once
    samples = Samples(dataset, "val", image_size=settings.image_size, max_samples=settings.max_samples)
    if [samples.name(place) for place in range(len(samples))] != run.counts.names:
        raise ValueError("its data has other images now")
    return samples


def _predict(run: ShownRun, samples: Samples, places: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns image, truth and prediction of each place, as `segtrain.training.evaluator.predict_sample` does."""
    # Tests of what is there come before TensorFlow, which takes seconds to load.
    with native_messages_to(Path(os.devnull)):
        from segtrain.prediction.predictor import load_best
        from segtrain.training.evaluator import predict_sample

        model = load_best(run.job.folder)
        return [predict_sample(model, samples, place) for place in places]


def _labels(labels: np.ndarray, dataset: SegmentationDataset) -> str:
    return labels_source(_shrunk(labels, resize_labels), dataset.palette)


def _shrunk(pixels, resize):
    height, width = pixels.shape[:2]
    scale = min(1.0, WIDEST / max(height, width))
    return resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))


def _legend(seen: Sequence[np.ndarray], dataset: SegmentationDataset) -> list[tuple[str, Sequence[int]]]:
    ids = np.unique(np.concatenate([np.unique(labels) for labels in seen]))
    classes = [(dataset.class_names[each], dataset.palette[each]) for each in ids if each < dataset.num_classes]
    return [*classes, *([("void", VOID_COLOUR)] if (ids >= dataset.num_classes).any() else [])]
