"""The story of each verb, told once. The only place that instantiates configs.

Whatever can be wrong without TensorFlow (the data, the augmentation) is built first, so that it is said at once.
"""

import dataclasses
import functools
import importlib.util
import time
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.image_files import read_image
from segtrain.instantiate import build
from segtrain.pipeline.resizing import describe_size
from segtrain.pipeline.samples import Samples
from segtrain.pipeline.verdict import describe_data_wait
from segtrain.prediction_files import image_files, require_writable_names, write_prediction
from segtrain.quiet_start import native_messages_to
from segtrain.run_folder import RunFolder, write_text
from segtrain.settings import (
    BenchmarkSettings,
    CompareSettings,
    EvaluateSettings,
    InspectSettings,
    PredictSettings,
    TrainSettings,
    read_settings,
)
from segtrain.training.scores import metric_contract


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
            f"There is a run in {folder.path} already, and two would mix. Type another hydra.run.dir=FOLDER."
        )
    write_text(folder.config, OmegaConf.to_yaml(_with_absolute_root(invocation.config)))
    # A run that is killed has no time to say so: it counts as interrupted until it is done.
    folder.write_results({"status": "interrupted", "seed": settings.seed, "command": invocation.command})
    try:
        return _train(settings, invocation, Console())
    except Exception as error:
        folder.write_results(folder.read_results() | {"status": "failed", "error": f"{type(error).__name__}: {error}"})
        raise


def _train(settings: TrainSettings, invocation: Invocation, console: Console) -> float:
    folder = invocation.folder

    # The data.
    dataset = build(settings.dataset)
    dataset.check()
    augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
    of_run = {"image_size": settings.image_size, "seed": settings.seed, "max_samples": settings.max_samples}
    training = Samples(dataset, "train", augmentation=augmentation, **of_run)
    validation = Samples(dataset, "val", **of_run)
    steps_per_epoch = training.steps_per_epoch(settings.batch_size)
    facts = {
        "image_size": settings.image_size,
        "resize": settings.image_size and dataset.resize,
        "dataset": _facts(dataset),
        "metric_contract": metric_contract(dataset, settings.image_size),
    }
    # From here on a run that is interrupted has all that is needed to use its best checkpoint.
    folder.write_results(folder.read_results() | facts)
    trainer = _start_tensorflow(settings, folder)

    from segtrain.reports.environment import describe_environment
    from segtrain.training.callbacks.checkpoint import Checkpoint
    from segtrain.training.callbacks.display import Display
    from segtrain.training.callbacks.history import History
    from segtrain.training.trainer import Evaluator

    # The network and what trains it.
    model, optimizer, loss = _build_network(settings, trainer, dataset, steps_per_epoch)
    evaluator = Evaluator(trainer, model, loss, validation, settings.batch_size)
    callbacks = [build(option, folder=folder, validation=validation) for option in settings.callbacks.values()]
    # Checkpoints come last, since they keep the state that the others have after the epoch.
    callbacks.sort(key=lambda callback: isinstance(callback, Checkpoint))
    history = History()
    checkpoints = [callback for callback in callbacks if isinstance(callback, Checkpoint)]
    for checkpoint in checkpoints:
        checkpoint.keep_state_of(callbacks)

    # The training.
    _announce(console, settings, model, training, validation, steps_per_epoch, folder)
    start = time.perf_counter()
    trainer.fit(
        model,
        optimizer=optimizer,
        loss=loss,
        training=training,
        evaluator=evaluator,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        callbacks=[history, *callbacks, Display(console, settings.batch_size, training.cache_kind)],
    )

    # Its plots would keep the first step waiting.
    from segtrain.reports.run_report import print_scores, write_report

    # The score is that of the file the run leaves behind, taken the way `segtrain evaluate` takes it.
    if checkpoints:
        model.load_weights(folder.best_model)
    scores = evaluator.run().scores
    results = {
        "status": "completed",
        "best_epoch": checkpoints[0].best_epoch if checkpoints else len(history.epochs),
        "val": scores.as_dict(dataset.class_names),
        "model": model.name,
        "parameters": model.count_params(),
        "images_per_second": float(np.median([epoch["images_per_second"] for epoch in history.epochs])),
        "seconds": time.perf_counter() - start,
        "epochs": len(history.epochs),
        "seed": settings.seed,
        **facts,
        "environment": describe_environment(trainer.strategy),
        "command": invocation.command,
    }
    folder.write_results(results)
    write_report(folder, results, history.epochs)
    print_scores(console, results["val"], title=f"{model.name} on {dataset.name}, validation")
    console.print(f"best validation mIoU {scores.mean_iou:.4f} (epoch {results['best_epoch']})", highlight=False)
    console.print(f"report {folder.report}", markup=False, highlight=False, soft_wrap=True)
    return scores.mean_iou


def evaluate(settings: EvaluateSettings, invocation: Invocation) -> None:
    """Scores a run's best checkpoint on a split, and writes the scores into a folder of its own.

    Raises:
        ValueError: `run` is no finished run, its data is gone or has other classes now, or there is no such split.
    """
    run, console = RunFolder.of_run(settings.run), Console()
    run_settings = _settings_of(run)
    batch_size = settings.batch_size or run_settings.batch_size
    if run_settings.image_size is None and batch_size != 1:
        raise ValueError(
            f"batch_size={batch_size}: the run's images keep their own sizes (image_size=null), which make no batch. "
            "Leave batch_size out."
        )
    dataset = build(run_settings.dataset)
    dataset.check([settings.split])
    trainer = _start_tensorflow(run_settings, invocation.folder)

    from segtrain.reports.run_report import print_scores
    from segtrain.training.trainer import Evaluator

    with trainer.scope():
        model = _load_model(run, dataset)
    samples = Samples(dataset, settings.split, image_size=run_settings.image_size, max_samples=run_settings.max_samples)
    loss = build(run_settings.loss, ignore_label=dataset.ignore_label)
    scores = Evaluator(trainer, model, loss, samples, batch_size).run().scores
    results = {
        settings.split: scores.as_dict(dataset.class_names),
        "run": str(run.path.resolve()),
        "metric_contract": metric_contract(dataset, run_settings.image_size),
    }
    invocation.folder.write_results(results)
    print_scores(console, results[settings.split], title=f"{model.name} on {dataset.name}, {settings.split}")
    console.print(f"results {invocation.folder.results}", markup=False, highlight=False, soft_wrap=True)


def predict(settings: PredictSettings, invocation: Invocation) -> None:
    """Writes a mask and an overlay for each input image, at the image's own size.

    Raises:
        ValueError: `run` is no finished run, there are no images, or masks are there already.
    """
    run, console = RunFolder.of_run(settings.run), Console()

    files, output = image_files(Path(settings.input).expanduser()), Path(settings.output).expanduser()
    require_writable_names(output, files, settings.overwrite)
    with native_messages_to(invocation.folder.log):
        from segtrain.predictor import Predictor

        predictor = Predictor(run)
    for file in track(files, description="predicting", console=console, disable=not console.is_terminal):
        image = read_image(file, channels=predictor.channels, white=predictor.white)
        write_prediction(image, predictor.predict(image), predictor.palette, file, output)
    console.print(f"{len(files)} masks and overlays in {output}", markup=False, highlight=False, soft_wrap=True)


def compare(settings: CompareSettings, invocation: Invocation) -> None:
    """Compares the runs of a sweep and writes the comparison beside them."""
    from segtrain.reports.comparison import compare_sweep

    compare_sweep(Path(settings.run).expanduser(), Console())


def inspect(settings: InspectSettings, invocation: Invocation) -> None:
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
        dataset = build(settings.dataset, tell=findings.tell)
        augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
        try_augmentation(dataset, augmentation, **of_run)
    except ValueError:
        reports.report_problems(folder, findings, console)  # what has been found until here may be why
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
    console.print(f"page {folder.inspection_page}", markup=False, highlight=False, soft_wrap=True)
    reports.require_no_errors(inspection, failure)


def benchmark(settings: BenchmarkSettings, invocation: Invocation) -> None:
    """Times a run's parts and what segtrain claims of itself, in alternating rounds, and writes benchmark.json."""
    folder, console = invocation.folder, Console()
    dataset = build(settings.dataset)
    dataset.check()
    trainer = _start_tensorflow(settings, folder)

    from segtrain.benchmarks.disk_cache import measure_disk_cache
    from segtrain.benchmarks.input_pipelines import measure_input_pipelines
    from segtrain.benchmarks.networks import measure_networks
    from segtrain.benchmarks.pooling_pair import measure_pooling_pair
    from segtrain.benchmarks.report import as_dict, as_table
    from segtrain.benchmarks.run_throughput import measure_run, measure_xla
    from segtrain.benchmarks.start_up import measure_start_up
    from segtrain.reports.environment import describe_environment

    run = functools.cache(lambda: _run_to_benchmark(settings, folder, dataset, trainer))
    rounds, figures = settings.rounds, {}
    with folder.log.open("a", encoding="utf-8") as log:
        # First the run's own parts, so that its peak memory is that of nothing else.
        parts = {
            "run": lambda: measure_run(run(), rounds),
            "xla": lambda: measure_xla(run(), rounds),
            "pooling_pair": lambda: measure_pooling_pair(rounds),
            "networks": lambda: measure_networks(rounds, log),
            "pipelines": lambda: measure_input_pipelines(rounds, log),
            "disk_cache": lambda: measure_disk_cache(rounds),
            "start_up": lambda: measure_start_up(rounds, log),
        }
        chosen = [name for name in parts if name in settings.measure]
        for number, name in enumerate(chosen, 1):
            stage = f"measuring {name} ({number} of {len(chosen)}, {rounds} rounds)"
            if not console.is_terminal:
                console.print(stage, highlight=False)
            try:
                with console.status(stage), native_messages_to(folder.log):
                    figures |= parts[name]()
            except Exception:
                console.print(as_table(figures, f"before {name} failed"))
                raise
            folder.write_benchmark(as_dict(figures))  # what has been measured stays if the next part fails
    facts = {
        "rounds": rounds,
        "environment": describe_environment(trainer.strategy),
        "command": invocation.command,
    }
    title = f"{rounds} rounds"
    if {"run", "xla"} & set(chosen):
        facts |= {
            "model": run().model.name,
            "dataset": dataset.name,
            "image_size": settings.image_size,
            "batch_size": settings.batch_size,
        }
        size = describe_size(settings.image_size, dataset.resize)
        title = f"{run().model.name} on {dataset.name}, {size}, batch {settings.batch_size}, {title}"
    console.print(as_table(figures, title))
    if "data_wait" in figures:
        facts["verdict"] = describe_data_wait(figures["data_wait"].median, run().training.cache_kind, first_epoch=False)
        console.print(facts["verdict"], highlight=False)
    if {"networks", "pipelines"} & set(chosen) and not importlib.util.find_spec("torch"):
        console.print("PyTorch is not installed, so nothing was compared with it. To do so: pip install torch")
    folder.write_benchmark(as_dict(figures) | facts)
    console.print(f"figures {folder.benchmark}", markup=False, highlight=False, soft_wrap=True)


def _run_to_benchmark(settings: TrainSettings, folder: RunFolder, dataset: SegmentationDataset, trainer: Any) -> Any:
    """Returns the run as `train` builds it, on as many images as a round takes; without pictures and checkpoints."""
    from segtrain.benchmarks.run_throughput import STEPS_PER_ROUND, Run
    from segtrain.training.callbacks.checkpoint import Checkpoint
    from segtrain.training.callbacks.display import Display
    from segtrain.training.callbacks.pictures import Pictures
    from segtrain.training.trainer import Evaluator

    augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
    of_run = {"image_size": settings.image_size, "seed": settings.seed}
    # Fewer images would fit into memory where all of them do not.
    whole = Samples(dataset, "train", augmentation=augmentation, max_samples=settings.max_samples, **of_run)
    dataset, most = dataclasses.replace(dataset, cache=whole.cache_kind), len(whole)
    del whole  # and the room that its cache would need
    most = min(STEPS_PER_ROUND * settings.batch_size, most)
    training = Samples(dataset, "train", augmentation=augmentation, max_samples=most, **of_run)
    validation = Samples(dataset, "val", max_samples=settings.batch_size, **of_run)
    model, optimizer, loss = _build_network(settings, trainer, dataset, training.steps_per_epoch(settings.batch_size))
    callbacks = [build(option, folder=folder, validation=validation) for option in settings.callbacks.values()]
    callbacks = [callback for callback in callbacks if not isinstance(callback, (Checkpoint, Pictures))]
    # The display draws as on a terminal, and nobody sees it.
    display = Display(Console(file=StringIO(), force_terminal=True), settings.batch_size, training.cache_kind)
    evaluator = Evaluator(trainer, model, loss, validation, settings.batch_size)
    return Run(trainer, model, optimizer, loss, training, evaluator, settings.batch_size, [*callbacks, display])


def _start_tensorflow(settings: TrainSettings, folder: RunFolder) -> Any:
    """Imports TensorFlow (seconds) and finds the devices. Returns the trainer."""
    option = settings.trainer
    if settings.image_size is None:
        # XLA would compile for every size, and a batch of one image is not divided among devices.
        where_auto = {"jit": False, "strategy": "one"}
        option = option | {name: value for name, value in where_auto.items() if option.get(name) == "auto"}
    with native_messages_to(folder.log):
        return build(option)


def _build_network(settings: TrainSettings, trainer: Any, dataset: SegmentationDataset, steps_per_epoch: int) -> Any:
    """Returns the model, its optimizer and its loss."""
    import keras

    keras.utils.set_random_seed(settings.seed)
    trainer.require_divisible(settings.batch_size)
    with trainer.scope():
        model = build(settings.model, num_classes=dataset.num_classes, channels=dataset.channels)
        learning_rate = build(
            settings.schedule,
            learning_rate=settings.optimizer["learning_rate"],
            steps_per_epoch=steps_per_epoch,
            epochs=settings.epochs,
        )
        optimizer = build(settings.optimizer, learning_rate=learning_rate)
    return model, optimizer, build(settings.loss, ignore_label=dataset.ignore_label)


def _settings_of(run: RunFolder) -> TrainSettings:
    try:
        config = OmegaConf.load(run.config)
        if not isinstance(config, DictConfig):
            raise ValueError("it holds no settings")
        return read_settings(config, TrainSettings)
    except (ValueError, OSError, yaml.YAMLError) as error:
        raise ValueError(f"{run.config} is not the config of a run: {str(error).splitlines()[0]}") from error


def _load_model(run: RunFolder, dataset: SegmentationDataset) -> Any:
    import keras

    import segtrain.layers  # noqa: F401  (registers what the file names)

    model = keras.saving.load_model(run.best_model, compile=False)
    if model.output_shape[-1] != dataset.num_classes:
        raise ValueError(
            f"{run.best_model} tells {model.output_shape[-1]} classes apart; the dataset has "
            f"{dataset.num_classes} now: {', '.join(dataset.class_names)}. Put the data of that run "
            "back, or train again."
        )
    return model


def _announce(console, settings, model, training, validation, steps_per_epoch, folder) -> None:
    dataset = training.dataset
    size = describe_size(settings.image_size, dataset.resize)
    console.print(
        f"{model.name} ({model.count_params():,} parameters) on {dataset.name}: {len(training)} train, "
        f"{len(validation)} val, {dataset.num_classes} classes, {size}, {settings.epochs} epochs of "
        f"{steps_per_epoch} steps. Run folder: {folder.path}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _facts(dataset: SegmentationDataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "class_names": list(dataset.class_names),
        "ignore_label": dataset.ignore_label,
        "palette": [list(colour) for colour in dataset.palette],
        "channels": dataset.channels,
        "white": dataset.white,
    }


def _with_absolute_root(config: DictConfig) -> DictConfig:
    """Resolves interpolations, and a dataset's relative paths, so that the config runs from any folder."""
    resolved = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    for key in ("root", "archive", "manual_folder", "mask_folder"):
        if isinstance(resolved.dataset.get(key), str):
            resolved.dataset[key] = str(Path(resolved.dataset[key]).expanduser().resolve())
    return resolved
