"""The story of each verb, told once. The only place that instantiates configs.

Whatever can be wrong without TensorFlow (the data, the augmentation) is built first, so that it is said at once.
"""

import contextlib
import dataclasses
import functools
import logging
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, track

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.instantiate import build
from segtrain.out_of_memory import tells_of_memory
from segtrain.pipeline.class_balance import count_classes
from segtrain.pipeline.samples import Samples
from segtrain.prediction.inputs import find_inputs
from segtrain.prediction.output_files import require_folder, require_free_names
from segtrain.prediction.unreadable import UnreadableFilesError
from segtrain.quiet_start import native_messages_to
from segtrain.reports.terminal import announce_run, note_on_windows, print_line
from segtrain.resumption import Resumption, describe_data, plan_resumption
from segtrain.run_folder import RunFolder, write_text
from segtrain.settings import (
    READ_BY_RUN,
    BenchmarkSettings,
    CompareSettings,
    EvaluateSettings,
    Option,
    PredictSettings,
    ResumeSettings,
    SummarySettings,
    TrainSettings,
    read_settings_of_run,
    with_absolute_paths,
)
from segtrain.training.scores import metric_contract
from segtrain.training.signals import StopSignals
from segtrain.training.state_files import go_back_to

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Invocation:
    """How a verb was called.

    Attributes:
        folder: the folder Hydra made for it.
        config: the composed config.
        command: the command line as typed.
    """

    folder: RunFolder
    config: DictConfig
    command: str


def train(settings: TrainSettings, invocation: Invocation) -> float:
    """Trains, scores the best checkpoint and writes the report.

    Returns:
        The best checkpoint's validation mean IoU: what a sweep compares.
    """
    folder = invocation.folder
    if folder.results.exists():
        raise ValueError(
            f"There is a run in {folder.path} already, and two would mix. Type another hydra.run.dir=FOLDER, or go on "
            f"with it: {_resume_command(folder)}."
        )
    with folder.held(), _recorded(folder) as signals:
        write_text(folder.config, OmegaConf.to_yaml(with_absolute_paths(invocation.config)))
        # A run that is killed has no time to say so: it counts as interrupted until it is done.
        folder.write_results({"status": "interrupted", "seed": settings.seed, "command": invocation.command})
        return _train(settings, _read_data(settings), folder, signals)


def resume(settings: ResumeSettings, invocation: Invocation) -> float | None:
    """Goes on with a run from its last state, as if it had not been interrupted.

    Returns:
        As `train` does; None where the run is complete.

    Raises:
        ValueError: the data is not what the run has seen, or another process is training in the folder.
    """
    console = Console()
    resumption = plan_resumption(settings.run, settings.overrides, settings.allow_targets)
    folder = resumption.folder
    if resumption.has_nothing_to_do:
        print_line(console, f"{folder.path} is complete: {resumption.state.epoch} epochs. To go on, type epochs=N.")
        return None
    data = _read_data(resumption.settings)
    resumption.require_same_data(describe_data(*data))
    with folder.held(), _recorded(folder) as signals:
        for note in resumption.notes():
            print_line(console, note)
        go_back_to(folder, resumption.state)
        write_text(folder.config, OmegaConf.to_yaml(resumption.config))
        results = {name: value for name, value in folder.read_results().items() if name != "error"}
        folder.write_results(results | {"status": "interrupted"})
        return _train(resumption.settings, data, folder, signals, resumption)


@contextlib.contextmanager
def _recorded(folder: RunFolder) -> Iterator[StopSignals]:
    """Has signals end a run where it can go on, and results.json say how it failed if it does."""
    try:
        with StopSignals(f"Go on with: {_resume_command(folder)}") as signals:
            yield signals
    except Exception as error:
        with contextlib.suppress(OSError, ValueError):  # the disk may be what has failed
            told = {"status": "failed", "error": f"{type(error).__name__}: {error}"}
            folder.write_results(folder.read_results() | told)
        raise


def _resume_command(folder: RunFolder) -> str:
    return shlex.join(["segtrain", "resume", str(folder.path)])


def _read_data(settings: TrainSettings) -> tuple[Samples, Samples]:
    """Returns the training and the validation samples."""
    dataset = open_dataset(settings.dataset)
    dataset.check()
    augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
    of_run = {"image_size": settings.image_size, "seed": settings.seed, "max_samples": settings.max_samples}
    training = Samples(dataset, "train", augmentation=augmentation, **of_run)
    training.steps_per_epoch(settings.batch_size)  # there is a batch, or it is said before TensorFlow loads
    return training, Samples(dataset, "val", **of_run)


@tells_of_memory
def _train(
    settings: TrainSettings,
    data: tuple[Samples, Samples],
    folder: RunFolder,
    signals: StopSignals,
    resumption: Resumption | None = None,
) -> float:
    """Trains from the beginning, or goes on; scores and reports."""
    console, (training, validation) = Console(), data
    dataset, results = training.dataset, folder.read_results()
    facts = {
        "image_size": settings.image_size,
        "resize": settings.image_size and dataset.resize,
        "dataset": {"name": dataset.name, **dataset.facts()},
        "data": describe_data(training, validation),
    }
    # From here on a run that is interrupted has all that is needed to use its best checkpoint.
    folder.write_results(results | facts)
    trainer = _start_tensorflow(settings, folder)

    from segtrain.models.logits_of_image import logits_stride
    from segtrain.reports.environment import describe_environment
    from segtrain.training.callbacks.checkpoint import Checkpoint
    from segtrain.training.callbacks.collapse_alarm import CollapseAlarm
    from segtrain.training.callbacks.display import Display
    from segtrain.training.callbacks.history import History
    from segtrain.training.run_costs import forget_peak_memory, run_costs

    # The network and what trains it.
    run = _build_run(settings, folder, trainer, training, validation)
    model, evaluator = run.model, run.evaluator
    contract = metric_contract(
        dataset, settings.image_size, settings.metric_convention, logits_stride=logits_stride(model)
    )
    facts["metric_contract"] = contract
    folder.write_results(folder.read_results() | facts)
    checkpoints = [callback for callback in run.callbacks if isinstance(callback, Checkpoint)]
    history = History()

    def keep_warnings(warnings: list[str]) -> None:
        # At once, since the run may be interrupted.
        _log.warning(warnings[-1])
        folder.write_results(folder.read_results() | {"warnings": warnings})

    alarm = CollapseAlarm(
        evaluator,
        dataset.class_names,
        functools.partial(print_line, console),
        weighs_classes="weighted_cross_entropy" in settings.loss["_target_"],
        keep=keep_warnings,
    )
    callbacks = [
        history,
        *(callback for callback in run.callbacks if callback not in checkpoints),
        Display(console, settings.batch_size, training.cache_kind),
        alarm,
        *checkpoints,  # last, since they keep the state that the others have by then
    ]
    if checkpoints:
        signals.save = checkpoints[0].save

    # The training.
    announce_run(
        console,
        model_name=model.name,
        num_parameters=model.count_params(),
        training=training,
        validation=validation,
        epochs=settings.epochs,
        steps_per_epoch=training.steps_per_epoch(settings.batch_size),
        folder=folder.path,
        convention=settings.metric_convention,
    )
    forget_peak_memory()
    start = time.perf_counter()
    trainer.fit(
        model,
        optimizer=run.optimizer,
        loss=run.loss,
        training=training,
        evaluator=evaluator,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        callbacks=callbacks,
        resume_from=resumption and resumption.state.path,
        stays_stopped=resumption is None or not resumption.changes,
        signals=signals,
    )

    # Its plots would keep the first step waiting.
    from segtrain.evaluation.predictions import NetworkPredictions
    from segtrain.reports.run_report import print_scores, write_report

    # The score is that of the file the run leaves behind, taken the way `segtrain evaluate` takes it.
    if checkpoints:
        model.load_weights(folder.best_model)
    predictions = NetworkPredictions(trainer, model, validation, settings.batch_size)
    scores, of_images = _score(predictions, contract["convention"], folder, console)
    skipped = _told_of_skipped([training, validation], console)
    results = {
        "status": "completed",
        "best_epoch": checkpoints[0].best_epoch if checkpoints else len(history.epochs),
        "val": scores.as_dict(dataset.class_names),
        "model": model.name,
        "parameters": model.count_params(),
        **run_costs(model, settings.image_size),
        "images_per_second": float(np.median([epoch["images_per_second"] for epoch in history.epochs])),
        "seconds": history.seconds_before + time.perf_counter() - start,
        "epochs": len(history.epochs),
        "seed": settings.seed,
        "warnings": [*alarm.warnings, *skipped["warnings"]],
        "skipped_samples": skipped["samples"],
        **facts,
        "images": of_images,
        "environment": describe_environment(trainer.strategy),
        "command": results["command"],
    }
    folder.write_results(results)
    write_report(folder, results, history.epochs, scores, predictions)
    title = f"{model.name} on {dataset.name}, validation"
    print_scores(console, results["val"], title=title, contract=contract)
    convention = contract["convention"]
    under = "" if convention == "segtrain" else f", convention {convention}"
    best = f"best validation mIoU {scores.scores.mean_iou:.4f} (epoch {results['best_epoch']}{under})"
    console.print(best, highlight=False)
    print_line(console, f"report {folder.report}")
    return scores.scores.mean_iou


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
    trainer = _start_tensorflow(run_settings, folder)

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
    scores, of_images = _score(predictions, contract["convention"], folder, console)
    skipped = _told_of_skipped([samples], console)
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


def predict(settings: PredictSettings, invocation: Invocation) -> None:
    """Writes masks and overlays, or what else is asked for, of images and videos, at their own sizes.

    Raises:
        ValueError: `run` is no finished run, there are no images, or masks are there already.
        UnreadableFilesError: some files could not be read; the others are written.
    """
    run, console = RunFolder.of_run(settings.run), Console()
    output, formats = Path(settings.output).expanduser(), list(dict.fromkeys(settings.format))
    files = find_inputs(settings.input, output)
    require_folder(output)
    require_free_names(files, output, formats, settings.overwrite)
    note_on_windows(console, settings.sliding_window, run.read_results().get("image_size"))

    progress = Progress(
        *Progress.get_default_columns(), MofNCompleteColumn(), console=console, disable=not console.is_terminal
    )
    with native_messages_to(invocation.folder.log), progress:
        from segtrain.prediction.predictor import Predictor
        from segtrain.prediction.running import predict_files

        task = progress.add_task("predicting", total=sum(not file.is_video for file in files))
        outcome = predict_files(
            Predictor(run, tta=settings.tta, sliding_window=settings.sliding_window, overlap=settings.overlap),
            files,
            output=output,
            formats=formats,
            batch_size=settings.batch_size,
            advance=lambda: progress.advance(task),
            expect=lambda count: progress.update(task, total=progress.tasks[0].total + count),
        )
    print_line(console, f"{outcome.describe()} in {output}: {', '.join(formats)}")
    if outcome.unreadable:
        raise UnreadableFilesError(outcome.unreadable, len(files), invocation.folder.log)


def compare(settings: CompareSettings, invocation: Invocation) -> None:
    """Compares the runs of a sweep and writes the comparison beside them."""
    from segtrain.reports.comparison import compare_sweep

    compare_sweep(Path(settings.run).expanduser(), Console())


def inspect(settings: TrainSettings, invocation: Invocation) -> None:
    """Reads every pair of the data; writes what is in it and what is wrong with it as inspect.json and a page.

    Raises:
        ValueError: training with this data would go wrong; what is wrong has been printed by then.
    """
    from segtrain.inspection.examination import examine
    from segtrain.inspection.findings import Findings
    from segtrain.inspection.gallery import gather_draws, gather_samples, try_augmentation
    from segtrain.inspection.summary import summarise
    from segtrain.reports import inspection as reports

    folder, console, findings = invocation.folder, Console(), Findings()
    of_run = {"image_size": settings.image_size, "seed": settings.seed}
    try:
        dataset = open_dataset(settings.dataset, tell=findings.tell)
        augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
        try_augmentation(dataset, augmentation, **of_run)
    except ValueError:
        reports.report_problems(folder, findings, console)
        # What was told of files is why: a folder whose masks are not found has none to take classes from, say.
        reports.require_no_errors({"errors": findings.counts("error")})
        raise
    surveys = examine(dataset, findings, console)
    inspection = summarise(dataset, surveys, findings, settings.dataset) | {"command": invocation.command}
    reports.report_inspection(folder, inspection, console)
    pictures, failure = reports.draw_samples(folder, gather_samples(dataset, surveys), dataset), None
    try:
        pictures |= reports.draw_augmented(folder, gather_draws(dataset, surveys, augmentation, **of_run), dataset)
    except ValueError as error:  # on another sample than was tried: the page tells of the data all the same
        failure = str(error)
    reports.write_inspection_page(folder, inspection, pictures)
    print_line(console, f"page {folder.inspection_page}")
    reports.require_no_errors(inspection, failure)


def summary(settings: SummarySettings, invocation: Invocation) -> None:
    """Prints what the network is made of and what an image costs it, and writes summary.json. Reads no data.

    Raises:
        ValueError: there is no image size, or the network refuses its settings.
    """
    folder, console = invocation.folder, Console()
    if settings.image_size is None:
        raise ValueError("summary counts for images of one size. Type image_size=[HEIGHT,WIDTH].")
    num_classes, told_by = _num_classes_without_files(settings)
    trainer = _start_tensorflow(settings, folder)

    from segtrain.models.costs import stage_costs
    from segtrain.reports.summary import as_table, summarise

    with trainer.scope():
        model = build(_with_random_weights(settings.model), num_classes=num_classes, channels=settings.channels)
    summary = summarise(model, stage_costs(model, settings.image_size), settings.image_size)
    folder.write_summary(summary | {"command": invocation.command})
    console.print(as_table(summary))
    print_line(console, f"{num_classes} classes: {told_by}")
    print_line(console, f"summary {folder.summary}")


def benchmark(settings: BenchmarkSettings, invocation: Invocation) -> None:
    """Times a run's parts and what segtrain claims of itself, in alternating rounds, and writes benchmark.json."""
    folder, console = invocation.folder, Console()
    dataset = open_dataset(settings.dataset)
    dataset.check()
    trainer = _start_tensorflow(settings, folder)

    from segtrain.benchmarks.measuring import measure_parts, report_figures
    from segtrain.benchmarks.run_throughput import choose_samples, without_files
    from segtrain.reports.environment import describe_environment

    @functools.cache
    def make_run():
        augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
        training, validation = choose_samples(
            dataset,
            augmentation,
            most=settings.max_samples,
            batch_size=settings.batch_size,
            image_size=settings.image_size,
            seed=settings.seed,
        )
        return without_files(_build_run(settings, folder, trainer, training, validation))

    figures = measure_parts(settings.measure, make_run, settings.rounds, folder, console)
    facts = {
        "rounds": settings.rounds,
        "environment": describe_environment(trainer.strategy),
        "command": invocation.command,
    }
    report_figures(figures, facts, settings.measure, make_run, folder, console)


def open_dataset(option: Option, **given: Any) -> SegmentationDataset:
    """Returns the dataset of an option, with what the run itself reads of it."""
    of_run = {key: value for key, value in option.items() if key in READ_BY_RUN["dataset"]}
    dataset = build({key: value for key, value in option.items() if key not in of_run}, **given)
    return dataclasses.replace(dataset, **of_run)


def _num_classes_without_files(settings: SummarySettings) -> tuple[int, str]:
    """Returns the number of classes as far as the settings tell it, and what told it."""
    stand_in, dataset = settings.stand_in or {}, settings.dataset
    if settings.num_classes:
        return settings.num_classes, "num_classes"
    if "num_classes" in stand_in:
        return stand_in["num_classes"], "the experiment's"
    if "num_classes" in dataset:
        return dataset["num_classes"], "dataset.num_classes"
    if dataset.get("classes"):
        return len(dataset["classes"]), "dataset.classes"
    return 21, "assumed, since no data is read. Type num_classes=N"


def _with_random_weights(option: Option) -> Option:
    """Returns a model's option without weights to load: they change no count, and may have to be downloaded."""
    return {
        key: None if key == "weights" else _with_random_weights(value) if isinstance(value, dict) else value
        for key, value in option.items()
    }


def _start_tensorflow(settings: TrainSettings, folder: RunFolder) -> Any:
    """Imports TensorFlow (seconds) and finds the devices. Returns the trainer."""
    option = settings.trainer
    if settings.image_size is None:
        # XLA would compile for every size, and a batch of one image is not divided among devices.
        where_auto = {"jit": False, "strategy": "one"}
        option = option | {name: value for name, value in where_auto.items() if option.get(name) == "auto"}
    with native_messages_to(folder.log):
        return build(option)


def _build_run(settings: TrainSettings, folder: RunFolder, trainer: Any, training: Samples, validation: Samples) -> Any:
    """Returns the model and all that trains it, with the callbacks in the config's order."""
    import keras

    from segtrain.training.divergence import describe_step
    from segtrain.training.run import Run
    from segtrain.training.trainer import Evaluator

    dataset, batch_size = training.dataset, settings.batch_size
    # Before the training split is counted, which takes long.
    trainer.require_divisible(batch_size)
    # Before the network, since the user's list of weights may not fit the classes.
    loss = _build_loss(settings, training)
    keras.utils.set_random_seed(settings.seed)
    with trainer.scope():
        model = build(settings.model, num_classes=dataset.num_classes, channels=dataset.channels)
        learning_rate = build(
            settings.schedule,
            learning_rate=settings.optimizer["learning_rate"],
            steps_per_epoch=training.steps_per_epoch(batch_size),
            epochs=settings.epochs,
        )
        optimizer = build(settings.optimizer, learning_rate=learning_rate)
    evaluator = Evaluator(trainer, model, loss, validation, batch_size, settings.metric_convention)
    facts = {
        "folder": folder,
        "validation": validation,
        "evaluator": evaluator,
        "describe_step": functools.partial(describe_step, model, loss, training, batch_size),
    }
    callbacks = [build(option, **facts) for option in settings.callbacks.values()]
    return Run(trainer, model, optimizer, loss, training, evaluator, batch_size, callbacks)


def _build_loss(settings: TrainSettings, training: Samples) -> Any:
    """Returns the loss. The training split is counted at most once, and only for a loss that asks for it."""
    console = Console()

    @functools.cache
    def class_balance():
        return count_classes(training, _followed("counting classes", len(training), console))

    return build(
        settings.loss,
        ignore_label=training.dataset.ignore_label,
        class_names=training.dataset.class_names,
        class_balance=class_balance,
        tell=functools.partial(print_line, console),
    )


def _score(predictions: Any, convention: str, folder: RunFolder, console: Console) -> tuple[Any, dict[str, Any]]:
    """Returns a split's scores, and which images to look at; writes those of each image and the confusion matrix."""
    from segtrain.evaluation.split_scores import evaluate_split
    from segtrain.reports.confusion_matrix import save_confusion_picture, write_confusion_csv

    follow = _followed("scoring", len(predictions.samples), console)
    scores = evaluate_split(predictions, convention, folder.per_image_scores, follow)
    class_names = predictions.samples.dataset.class_names
    write_confusion_csv(folder.confusion_csv, scores.confusion_matrix, class_names)
    save_confusion_picture(folder.confusion_picture, scores.confusion_matrix, class_names)
    return scores, scores.extremes.as_dict(class_names)


def _told_of_skipped(splits: list[Samples], console: Console) -> dict[str, Any]:
    """Returns why each skipped sample was, by split, and a line about each split for people, which is printed too."""
    warnings = [samples.describe_skipped() for samples in splits if samples.skipped]
    for warning in warnings:
        print_line(console, warning)
    return {"samples": {each.split: list(each.skipped.values()) for each in splits}, "warnings": warnings}


def _followed(description: str, total: int, console: Console) -> Any:
    """Returns what shows on a terminal how far an iterable of `total` items is."""
    return functools.partial(
        track,
        description=description,
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _require_classes(run: RunFolder, model: Any, dataset: SegmentationDataset) -> None:
    if model.output_shape[-1] != dataset.num_classes:
        raise ValueError(
            f"{run.best_model} tells {model.output_shape[-1]} classes apart; the dataset has "
            f"{dataset.num_classes} now: {', '.join(dataset.class_names)}. Put the data of that run "
            "back, or train again."
        )
