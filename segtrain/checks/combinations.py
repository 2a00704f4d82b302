"""Settings that are right on their own and wrong together."""

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segtrain.checks.nested import leaves
from segtrain.config_error import ConfigError, shown, suggest
from segtrain.training.epoch_log import EPOCH_COLUMNS, TIMING_COLUMNS


def check_together(values: Mapping[str, Any]) -> None:
    """Refuses settings that are right on their own and wrong together."""
    for name, option in values["callbacks"].items():
        monitor = option.get("monitor", EPOCH_COLUMNS[0])
        if monitor not in EPOCH_COLUMNS:
            raise ConfigError(
                f"callbacks.{name}.monitor={monitor}: nothing of that name is measured."
                f"{suggest(str(monitor), EPOCH_COLUMNS)} Choices: {', '.join(EPOCH_COLUMNS[1:])}."
            )
        needs_mode = str(option["_target_"]).startswith("keras.") and monitor not in ("loss", "val_loss")
        if needs_mode and "monitor" in option and option.get("mode", "auto") == "auto":
            raise ConfigError(
                f"callbacks.{name}.mode is required: Keras cannot tell whether {monitor} is better high or low. "
                f"Type callbacks.{name}.mode=max, or min."
            )
    targets = {name: str(option["_target_"]) for name, option in values["callbacks"].items()}
    checkpoints = [name for name, target in targets.items() if target.endswith(".checkpoint.Checkpoint")]
    if len(checkpoints) > 1:
        first, second = checkpoints[:2]
        raise ConfigError(f"callbacks.{second}: writes the files that callbacks.{first} writes. Leave one out.")
    restoring = [name for name, option in values["callbacks"].items() if option.get("restore_best_weights")]
    if checkpoints and restoring:
        raise ConfigError(
            f"callbacks.{restoring[0]}.restore_best_weights: checkpoints/best.keras holds the best weights already; a "
            "run that goes on does not. Leave it out."
        )
    if "learning_rate" not in values["optimizer"]:
        raise ConfigError("optimizer.learning_rate is required: the schedule starts from it. Leave ~optimizer... out.")
    scaling = values["optimizer"].get("rate_scaling", "linear")
    if scaling != "linear" and values["optimizer"].get("reference_batch_size") is None:
        raise ConfigError(
            f"optimizer.rate_scaling={scaling}: says how the learning rate follows the images of a step, and none are "
            "named that it is meant for. Type optimizer.reference_batch_size=IMAGES with it."
        )
    is_constant = values["schedule"]["_target_"].endswith("build_constant")
    if "keras.callbacks.ReduceLROnPlateau" in targets.values() and not is_constant:
        raise ConfigError(
            "callbacks.reduce_on_plateau changes the learning rate itself. Type schedule=constant with it."
        )
    if values["image_size"] is None:
        _check_own_sizes(values)
    trainer = values.get("trainer", {})
    if "measure" in values and trainer.get("find_batch_size"):
        raise ConfigError(
            "trainer.find_batch_size=true: a benchmark measures the batch_size that it is given. "
            "Type trainer.find_batch_size=false."
        )
    if trainer.get("workers") is not None and trainer.get("strategy") != "multiworker":
        raise ConfigError(
            f"trainer.workers={trainer['workers']} starts workers for trainer.strategy=multiworker. "
            "Type that with it, or trainer.workers=null."
        )
    timed = [name for name, option in values["callbacks"].items() if option.get("monitor") in TIMING_COLUMNS]
    if timed and trainer.get("strategy") == "multiworker":
        raise ConfigError(
            f"callbacks.{timed[0]}.monitor={values['callbacks'][timed[0]]['monitor']}: each worker measures times of "
            "its own, and they would decide apart. Type another monitor, or another trainer.strategy."
        )
    if trainer.get("find_batch_size") and trainer.get("strategy") == "multiworker":
        raise ConfigError(
            "trainer.find_batch_size=true: tries are made on one machine, and trainer.strategy=multiworker trains on "
            "several. Find it with trainer.strategy=auto, and type batch_size=N times the workers."
        )


def refuse_swapping(callbacks: Mapping[str, Any]) -> None:
    """Refuses Keras' way to score an average of the weights, for what is to be trained: runs of before have it."""
    for name, option in callbacks.items():
        if option["_target_"] == "keras.callbacks.SwapEMAWeights":
            raise ConfigError(
                f"callbacks.{name}: with optimizer.use_ema=true the average is scored and saved already. Leave it out."
            )


def _check_own_sizes(values: Mapping[str, Any]) -> None:
    """Refuses what `image_size=null` cannot be combined with."""
    trainer, measure = values["trainer"], values.get("measure", [])
    other_parts = [part for part in measure if part != "xla"] or ["run"]
    refused = (
        ("batch_size", values["batch_size"] != 1, "images of different sizes make no batch", "batch_size=1"),
        (
            "dataset.resize",
            values["dataset"].get("resize", "stretch") != "stretch",
            "there is no size to bring them to",
            "dataset.resize=stretch, which does nothing then",
        ),
        (
            "trainer.strategy",
            trainer.get("strategy", "auto") not in ("auto", "one"),
            "a batch of one cannot be divided among devices",
            "trainer.strategy=one",
        ),
        (
            "trainer.find_batch_size",
            trainer.get("find_batch_size") is True,
            "a batch is one of them",
            "trainer.find_batch_size=false",
        ),
        ("trainer.jit", trainer.get("jit") is True, "XLA would compile for every size", "trainer.jit=false"),
        ("measure", "xla" in measure, "XLA would compile for every size", f"measure=[{','.join(other_parts)}]"),
    )
    for setting, is_wrong, reason, instead in refused:
        if is_wrong:
            group, _, name = setting.partition(".")
            received = values[group][name] if name else values[group]
            raise ConfigError(
                f"{setting}={shown(received)}: image_size=null leaves images at their own sizes, and {reason}. "
                f"Type {instead}, or image_size=[HEIGHT,WIDTH]."
            )


def refuse_references_to_image_size(config: DictConfig) -> None:
    """Refuses settings that are `${image_size}`, which is null, before their own types do."""
    for where, value in leaves(OmegaConf.to_container(config)):
        if isinstance(value, str) and re.search(r"\$\{image_size\b", value):
            group = where.partition(".")[0]
            other = "augmentation=flip or augmentation=none" if group == "augmentation" else f"another {where}"
            raise ConfigError(
                f"{where}: is taken from image_size, and image_size=null leaves images at their own sizes. "
                f"Type {other}, or image_size=[HEIGHT,WIDTH]."
            )


def check_windows(overlap: float, sliding_window: list[int] | None) -> None:
    """Refuses an overlap of windows where there are none."""
    if overlap != 0.5 and sliding_window is None:
        raise ConfigError(
            f"overlap={overlap}: is that of windows, and there are none. Type sliding_window=[HEIGHT,WIDTH] "
            "with it, or leave it out."
        )


def check_batches(batch_size: int | None, sees_images_one_by_one: bool) -> None:
    """Refuses a batch size where there are no batches."""
    if batch_size is not None and sees_images_one_by_one:
        raise ConfigError(
            f"batch_size={batch_size}: scale=original, tta and sliding_window take images one by one. "
            "Leave batch_size out."
        )
