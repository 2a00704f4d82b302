"""What a run is made of, built from its settings.

Whatever can be wrong without TensorFlow (the data, the augmentation) is built first, so that it is said at once.
"""

import dataclasses
import functools
import os
from typing import Any

from rich.console import Console

from segtrain.datasets.dataset import SegmentationDataset
from segtrain.instantiate import build
from segtrain.pipeline.class_balance import count_classes
from segtrain.pipeline.samples import Samples
from segtrain.quiet_start import native_messages_to
from segtrain.reports.terminal import followed, print_line
from segtrain.run_folder import RunFolder
from segtrain.settings import READ_BY_RUN, Option, TrainSettings
from segtrain.training.cluster import Cluster
from segtrain.training.rate_scaling import scaled_learning_rate


def open_dataset(option: Option, **given: Any) -> SegmentationDataset:
    """Returns the dataset of an option, with what the run itself reads of it."""
    of_run = {key: value for key, value in option.items() if key in READ_BY_RUN["dataset"]}
    dataset = build(_of_builder("dataset", option), **given)
    return dataclasses.replace(dataset, **of_run)


def open_splits(settings: TrainSettings) -> tuple[Samples, Samples]:
    """Returns the training and the validation samples."""
    dataset = open_dataset(settings.dataset)
    dataset.check()
    augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
    of_run = {"image_size": settings.image_size, "seed": settings.seed, "max_samples": settings.max_samples}
    training = Samples(dataset, "train", augmentation=augmentation, **of_run)
    # There is a step, or it is said before TensorFlow loads.
    training.steps_per_epoch(settings.batch_size, settings.accumulate)
    return training, Samples(dataset, "val", **of_run)


def start_tensorflow(settings: TrainSettings, folder: RunFolder, cluster: Cluster | None = None) -> Any:
    """Imports TensorFlow (seconds) and finds the devices. Returns the trainer.

    Args:
        settings: of the run.
        folder: whose log takes TensorFlow's notices.
        cluster: the workers that train together; None for what a process does alone, also with a run of theirs.
    """
    option = _of_builder("trainer", settings.trainer)
    if cluster is not None:
        # Of a worker that goes, TensorFlow tells in a dozen lines; `telling_of_lost_workers` does in one.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    elif option.get("strategy") == "multiworker":
        option = option | {"strategy": "auto"}
    if settings.image_size is None:
        # XLA would compile for every size, and a batch of one image is not divided among devices.
        where_auto = {"jit": False, "strategy": "one"}
        option = option | {name: value for name, value in where_auto.items() if option.get(name) == "auto"}
    with native_messages_to(folder.log):
        return build(option)


def build_run(settings: TrainSettings, folder: RunFolder, trainer: Any, training: Samples, validation: Samples) -> Any:
    """Returns the model and all that trains it, with the callbacks in the config's order."""
    import keras

    from segtrain.training.divergence import describe_step
    from segtrain.training.evaluator import Evaluator
    from segtrain.training.run import Run

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
            learning_rate=scaled_learning_rate(settings),
            steps_per_epoch=training.steps_per_epoch(batch_size, settings.accumulate),
            epochs=settings.epochs,
        )
        optimizer = build(_of_builder("optimizer", settings.optimizer), learning_rate=learning_rate)
    evaluator = Evaluator(trainer, model, loss, validation, batch_size, settings.metric_convention)

    def warn(warning: str) -> None:
        print_line(Console(), f"warning: {warning}")
        folder.keep_warning(warning)

    facts = {
        "folder": folder,
        "validation": validation,
        "evaluator": evaluator,
        "describe_step": functools.partial(describe_step, model, loss, training, batch_size, settings.accumulate),
        "warn": warn,
    }
    callbacks = [build(option, **facts) for option in settings.callbacks.values()]
    return Run(trainer, model, optimizer, loss, training, evaluator, batch_size, callbacks)


def _of_builder(group: str, option: Option) -> Option:
    """Returns the option without what the run itself reads of it."""
    return {key: value for key, value in option.items() if key not in READ_BY_RUN[group]}


def _build_loss(settings: TrainSettings, training: Samples) -> Any:
    """Returns the loss. The training split is counted at most once, and only for a loss that asks for it."""
    console = Console()

    @functools.cache
    def class_balance():
        return count_classes(training, followed("counting classes", len(training), console))

    return build(
        settings.loss,
        ignore_label=training.dataset.ignore_label,
        class_names=training.dataset.class_names,
        class_balance=class_balance,
        tell=functools.partial(print_line, console),
    )
