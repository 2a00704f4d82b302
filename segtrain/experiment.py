"""The story of one run, from its data to its report."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from segtrain.evaluation.scored_split import score_split
from segtrain.out_of_memory import tells_of_memory
from segtrain.parts import build_run, start_tensorflow
from segtrain.pipeline.samples import Samples
from segtrain.reports.terminal import announce_run, print_line, tell_of_skipped
from segtrain.resumption import Resumption, describe_data
from segtrain.run_folder import RunFolder
from segtrain.settings import TrainSettings
from segtrain.starting_weights import reading_weights
from segtrain.sweeps.going_on import resume_command
from segtrain.sweeps.study import trial_of_this_job
from segtrain.training.cluster import Cluster
from segtrain.training.meeting import WorkerLostError, telling_of_lost_workers
from segtrain.training.rate_scaling import describe_scaling, scaled_learning_rate
from segtrain.training.same_run import digests_of_run
from segtrain.training.scores import metric_contract
from segtrain.training.signals import StopSignals


@contextlib.contextmanager
def recorded(folder: RunFolder) -> Iterator[StopSignals]:
    """Has signals end a run where it can go on, and results.json say how it failed if it does."""
    try:
        with StopSignals(f"Go on with: {resume_command(folder.path)}") as signals:
            yield signals
    except WorkerLostError:
        raise  # which leaves it interrupted
    except Exception as error:
        with contextlib.suppress(OSError, ValueError):  # the disk may be what has failed
            told = {"status": "failed", "error": f"{type(error).__name__}: {error}"}
            folder.write_results(folder.read_results() | told)
        raise


@tells_of_memory
def run_experiment(
    settings: TrainSettings,
    data: tuple[Samples, Samples],
    folder: RunFolder,
    signals: StopSignals,
    resumption: Resumption | None = None,
    cluster: Cluster | None = None,
) -> float | None:
    """Trains from the beginning, or goes on; scores and reports. Of several workers only the chief scores.

    Returns:
        The best checkpoint's validation mean IoU; None of a worker that is not the chief.
    """
    console, (training, validation) = Console(), data
    dataset = training.dataset
    facts = {
        "image_size": settings.image_size,
        "resize": settings.image_size and dataset.resize,
        "dataset": {"name": dataset.name, **dataset.facts()},
        "data": describe_data(training, validation),
        "learning_rate": scaled_learning_rate(settings),
    }
    # From here on a run that is interrupted has all that is needed to use its best checkpoint.
    folder.write_results(folder.read_results() | facts)
    is_chief = cluster is None or cluster.is_chief
    command = resume_command(folder.path) if is_chief else "segtrain resume RUN, the folder of the chief"
    how_to_go_on = f"Start all workers again with: {command}"
    with telling_of_lost_workers(cluster, how_to_go_on):
        trainer = start_tensorflow(settings, folder, cluster)

    from segtrain.models.encoders.freezing import count_frozen
    from segtrain.models.logits_of_image import logits_stride
    from segtrain.training.between_workers import require_same_run
    from segtrain.training.run_costs import forget_peak_memory

    with telling_of_lost_workers(cluster, how_to_go_on):
        stays_stopped = resumption is None or not resumption.changes_its_end
        if cluster:
            digests = digests_of_run(settings, facts["data"], resumption and resumption.state)
            stays_stopped = require_same_run(trainer.strategy, cluster, digests, stays_stopped)

        # The network and what trains it. A state has every weight, so files and network that it began with may be gone.
        has_no_state = resumption is None or resumption.state.path is None
        with reading_weights(has_no_state, tell=functools.partial(print_line, console)):
            run = build_run(settings, folder, trainer, training, validation)
        facts["metric_contract"] = metric_contract(
            dataset, settings.image_size, settings.metric_convention, logits_stride=logits_stride(run.model)
        )
        folder.write_results(folder.read_results() | facts)
        watched = _watched(run, settings, folder, console)
        if watched.checkpoint:
            signals.save = watched.checkpoint.save

        # The training.
        if settings.optimizer.get("reference_batch_size"):
            print_line(console, describe_scaling(settings))
        announce_run(
            console,
            model_name=run.model.name,
            num_parameters=run.model.count_params(),
            num_frozen=count_frozen(run.model),
            training=training,
            validation=validation,
            epochs=settings.epochs,
            images_per_step=settings.images_per_step,
            folder=folder.path,
            convention=settings.metric_convention,
        )
        forget_peak_memory()
        run.fit(
            epochs=settings.epochs,
            callbacks=watched.callbacks,
            resume_from=resumption and resumption.state.path,
            stays_stopped=stays_stopped,
            signals=signals,
        )
    if not is_chief:
        return None
    return _score_and_report(run, watched, validation, settings, facts, folder, console)


@dataclass(frozen=True)
class _Watched:
    """The callbacks of a training, and those of them that are asked afterwards."""

    callbacks: list[Any]
    history: Any
    checkpoint: Any | None

    @property
    def best_epoch(self) -> int:
        return self.checkpoint.best_epoch if self.checkpoint else len(self.history.epochs)

    @property
    def warnings(self) -> list[str]:
        return [line for callback in self.callbacks for line in getattr(callback, "warnings", ())]


def _watched(run: Any, settings: TrainSettings, folder: RunFolder, console: Console) -> _Watched:
    """Returns the config's callbacks among those of every run, each where it sees what it needs."""
    from segtrain.training.callbacks.checkpoint import Checkpoint
    from segtrain.training.callbacks.collapse_alarm import CollapseAlarm
    from segtrain.training.callbacks.display import Display
    from segtrain.training.callbacks.history import History
    from segtrain.training.callbacks.prune import Prune

    checkpoints = [callback for callback in run.callbacks if isinstance(callback, Checkpoint)]
    history = History()
    alarm = CollapseAlarm(
        run.evaluator,
        run.training.dataset.class_names,
        functools.partial(print_line, console),
        weighs_classes="weighted_cross_entropy" in settings.loss["_target_"],
        keep=folder.keep_warning,
    )
    trial = trial_of_this_job(settings.epochs)
    callbacks = [
        history,
        *(callback for callback in run.callbacks if callback not in checkpoints),
        Display(console, settings.images_per_step, run.training.cache_kind),
        alarm,
        *([Prune(trial)] if trial else []),
        *checkpoints,  # last, since they keep the state that the others have by then
    ]
    return _Watched(callbacks, history, next(iter(checkpoints), None))


def _score_and_report(
    run: Any,
    watched: _Watched,
    validation: Samples,
    settings: TrainSettings,
    facts: dict[str, Any],
    folder: RunFolder,
    console: Console,
) -> float:
    """Scores the file that the run leaves behind, the way `segtrain evaluate` does; writes results and report."""
    # Their plots would keep the first step waiting.
    from segtrain.evaluation.predictions import NetworkPredictions
    from segtrain.reports.environment import describe_environment
    from segtrain.reports.run_report import print_scores, write_report
    from segtrain.training.run_costs import run_costs

    model, dataset, epochs, contract = run.model, validation.dataset, watched.history.epochs, facts["metric_contract"]
    if watched.checkpoint:
        model.load_weights(folder.best_model)
    predictions = NetworkPredictions(run.trainer.alone(), model, validation, settings.batch_size)
    scores, of_images = score_split(predictions, contract["convention"], folder, console)
    skipped = tell_of_skipped([run.training, validation], console)
    results = {
        "status": "completed",
        "best_epoch": watched.best_epoch,
        "val": scores.as_dict(dataset.class_names),
        "model": model.name,
        "parameters": model.count_params(),
        **run_costs(model, settings.image_size),
        "images_per_second": float(np.median([epoch["images_per_second"] for epoch in epochs])),
        "seconds": watched.history.seconds,
        "epochs": len(epochs),
        "seed": settings.seed,
        "warnings": [*watched.warnings, *skipped["warnings"]],
        "skipped_samples": skipped["samples"],
        **facts,
        "images": of_images,
        "environment": describe_environment(run.trainer.strategy),
        "command": folder.read_results()["command"],
    }
    folder.write_results(results)
    write_report(folder, results, epochs, scores, predictions)
    title = f"{model.name} on {dataset.name}, validation"
    print_scores(console, results["val"], title=title, contract=contract)
    convention = contract["convention"]
    under = "" if convention == "segtrain" else f", convention {convention}"
    best = f"best validation mIoU {scores.scores.mean_iou:.4f} (epoch {results['best_epoch']}{under})"
    console.print(best, highlight=False)
    print_line(console, f"report {folder.report}")
    return scores.scores.mean_iou
