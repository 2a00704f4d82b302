"""Scores a finished run again."""

import dataclasses
import time
from typing import Any

from rich.console import Console

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.evaluation.scored_split import score_split
from segtrain.out_of_memory import tells_of_memory
from segtrain.parts import open_dataset, start_tensorflow
from segtrain.pipeline.samples import Samples
from segtrain.reports.terminal import note_on_windows, print_line, tell_of_skipped
from segtrain.run_folder import RunFolder
from segtrain.settings import EvaluateSettings, read_settings_of_run
from segtrain.training.scores import metric_contract
from segtrain.verbs.invocation import Invocation


@tells_of_memory
def evaluate(settings: EvaluateSettings, invocation: Invocation) -> None:
    """Scores a run's best checkpoint on a split, and writes scores and report into a folder of its own.

    Raises:
        ValueError: `run` is no finished run, its data is gone or has other classes now, or there is no such split.
    """
    run, folder, console = RunFolder.of_run(settings.run), invocation.folder, Console()
    if folder.config.exists():
        raise ValueError(
            f"There is a run in {folder.path}, whose results would be replaced. Type another hydra.run.dir=FOLDER."
        )
    run_settings = read_settings_of_run(run.config, settings.allow_targets)
    batch_size = settings.batch_size or run_settings.batch_size
    if run_settings.image_size is None and batch_size != 1:
        raise ValueError(
            f"batch_size={batch_size}: the run's images keep their own sizes (image_size=null), which make no batch. "
            "Leave batch_size out."
        )
    dataset = dataclasses.replace(open_dataset(run_settings.dataset), cache="none")  # each image is read once
    dataset.check([settings.split])
    trainer = start_tensorflow(run_settings, folder)

    from segtrain.evaluation.predictions import ImagePredictions, NetworkPredictions
    from segtrain.models.logits_of_image import logits_stride
    from segtrain.prediction.predictor import Predictor, load_best
    from segtrain.reports.environment import describe_environment
    from segtrain.reports.evaluation_page import write_evaluation_page
    from segtrain.reports.run_report import print_scores

    start = time.perf_counter()
    samples = Samples(
        dataset,
        settings.split,
        image_size=None if settings.scale == "original" else run_settings.image_size,
        max_samples=run_settings.max_samples,
    )
    if settings.sees_images_one_by_one:
        if settings.scale == "original":
            note_on_windows(console, settings.sliding_window, run_settings.image_size)
        predictor = Predictor(run, tta=settings.tta, sliding_window=settings.sliding_window, overlap=settings.overlap)
        model = predictor.model
        _require_classes(run, model, dataset)
        predictions = ImagePredictions(predictor.predict, samples)
    else:
        with trainer.scope():
            model = load_best(run)
        _require_classes(run, model, dataset)
        predictions = NetworkPredictions(trainer, model, samples, batch_size)
    contract = metric_contract(
        dataset,
        run_settings.image_size,
        settings.metric_convention or run_settings.metric_convention,
        logits_stride=logits_stride(model),
        scale=settings.scale,
        tta=settings.tta,
        sliding_window=settings.sliding_window,
        overlap=settings.overlap if settings.sliding_window else None,
    )
    scores, of_images = score_split(predictions, contract["convention"], folder, console)
    skipped = tell_of_skipped([samples], console)
    results = {
        settings.split: scores.as_dict(dataset.class_names),
        "run": str(run.path.resolve()),
        "model": model.name,
        "dataset": {"name": dataset.name, **dataset.facts()},
        "metric_contract": contract,
        "images": of_images,
        "warnings": skipped["warnings"],
        "skipped_samples": skipped["samples"],
        "seconds": time.perf_counter() - start,
        "environment": describe_environment(trainer.strategy),
        "command": invocation.command,
    }
    folder.write_results(results)
    write_evaluation_page(folder, results, settings.split, scores, predictions)
    title = f"{model.name} on {dataset.name}, {settings.split}"
    print_scores(console, results[settings.split], title=title, contract=contract)
    print_line(console, f"results {folder.results}")
    print_line(console, f"report {folder.report}")


def _require_classes(run: RunFolder, model: Any, dataset: SegmentationDataset) -> None:
    if model.output_shape[-1] != dataset.num_classes:
        raise ValueError(
            f"{run.best_model} tells {model.output_shape[-1]} classes apart; the dataset has "
            f"{dataset.num_classes} now: {', '.join(dataset.class_names)}. Put the data of that run "
            "back, or train again."
        )
