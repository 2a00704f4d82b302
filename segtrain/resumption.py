"""What a run goes on with: its own settings, what may be changed about them, and the state it is at."""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segtrain.checks.combinations import refuse_swapping
from segtrain.checks.nested import leaves
from segtrain.checks.signatures import read_signature
from segtrain.config_error import ConfigError
from segtrain.run_folder import RunFolder
from segtrain.settings import (
    PATHS_OF_DATA,
    TrainSettings,
    read_config_of_run,
    read_settings,
    with_absolute_paths,
)
from segtrain.training.state_files import FoundState, find_state

if TYPE_CHECKING:  # it takes OpenCV, which help and mistakes do not wait for
    from segtrain.pipeline.samples import Samples

# What changes no number, or is there to be changed. Where the data lies may be: whether it is the same is compared.
CHANGEABLE = (
    "sweep",
    *("epochs", "callbacks", "trainer.strategy", "trainer.workers", "trainer.wait_for_workers"),
    *("trainer.logical_cpus", "trainer.jit"),
    *("dataset.cache", "dataset.on_bad_sample", "dataset.max_bad_share"),
    *(f"dataset.{name}" for name in PATHS_OF_DATA),
)
WORDED = (
    "epochs, callbacks.*, trainer.strategy, trainer.workers, trainer.wait_for_workers, trainer.logical_cpus, "
    "trainer.jit, dataset.cache, dataset.on_bad_sample, dataset.max_bad_share and where the data lies (dataset.root)"
)


@dataclass(frozen=True)
class Resumption:
    """How a run goes on.

    Attributes:
        folder: its folder.
        config: its config with the changes.
        settings: the same, checked.
        changes: names of the settings that differ from those of before.
    """

    folder: RunFolder
    config: DictConfig
    settings: TrainSettings
    changes: Sequence[str]

    @functools.cached_property
    def state(self) -> FoundState:
        """Where it is; of a run that has saved nothing, the beginning. Found when asked for: files are read through."""
        return find_state(self.folder)

    @functools.cached_property  # once: a chief that goes on is about to write another status
    def has_nothing_to_do(self) -> bool:
        """Whether the run is complete, and no change gives it more to do."""
        is_complete = self.folder.read_results().get("status") == "completed"
        may_have_more = self.state.epoch < self.settings.epochs or self.state.path is None
        return is_complete and not (self.changes_its_end and may_have_more)

    @property
    def changes_its_end(self) -> bool:
        """Whether a change concerns how long it trains: its epochs, or a callback, which may have stopped it."""
        return any(key == "epochs" or key.startswith("callbacks.") for key in self.changes)

    def notes(self) -> list[str]:
        """Returns what to tell the user before it goes on, a line each."""
        lines = [f"{path.name} is damaged; the state before it is used" for path in self.state.damaged]
        if self.state.path is None:
            lines.append("the run has saved no state yet: it begins again from the start")
        else:
            steps = f", step {self.state.step}" if self.state.step else ""
            lines.append(f"goes on after epoch {self.state.epoch}{steps}, from {self.state.path.name}")
        signature = read_signature(self.settings.schedule["_target_"])
        follows_epochs = signature is not None and "epochs" in signature.parameters
        if "epochs" in self.changes and follows_epochs and self.state.path is not None:
            lines.append(
                f"note: the schedule goes over all epochs. From here on the learning rate is that of a run of "
                f"{self.settings.epochs}, which the epochs before had not."
            )
        return lines

    def require_same_data(self, data: dict[str, Any]) -> None:
        """Refuses data that has other images than the run has seen.

        Args:
            data: see `describe_data`.

        Raises:
            ValueError: which split differs, and how.
        """
        known = self.folder.read_results().get("data", data)
        for split, now in data.items() if self.state.path else ():
            before = known.get(split) if isinstance(known, dict) else None
            if not isinstance(before, dict) or "images" not in before:
                raise ValueError(
                    f"{self.folder.results} does not tell any more what data the run has seen. Train anew."
                )
            if before != now:
                how = (
                    f"it had {before['images']} images and has {now['images']} now"
                    if before["images"] != now["images"]
                    else f"it has {now['images']} images as before, with other names or in another order"
                )
                raise ValueError(
                    f"The split '{split}' is not what the run has seen: {how}. Put the data back, or train anew."
                )


def plan_resumption(run: str, overrides: Sequence[str], allow_targets: Sequence[str] | None = None) -> Resumption:
    """Reads a run's folder, and what was typed to be changed about it. Writes nothing.

    Args:
        run: the folder.
        overrides: settings as typed, `epochs=20`.
        allow_targets: see `read_settings`.

    Raises:
        ConfigError: it is no run, a setting is wrong, or one that would make it another run.
    """
    try:
        folder = RunFolder.of_begun_run(Path(run).absolute())
    except ValueError as error:
        raise ConfigError(f"{error} A sweep's folder is taken as well: outputs/multirun/<date>/<time>.") from error
    try:
        config = read_config_of_run(folder.config, allow_targets)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    changed = _with_overrides(config, overrides)
    settings = read_settings(changed, TrainSettings, allow_targets or ())
    refuse_swapping(settings.callbacks)
    changed = with_absolute_paths(changed)
    before, now = (dict(leaves(OmegaConf.to_container(each, resolve=True))) for each in (config, changed))
    changes = [key for key in (before | now) if before.get(key, _ABSENT) != now.get(key, _ABSENT)]
    refused = [key for key in changes if not any(key == name or key.startswith(f"{name}.") for name in CHANGEABLE)]
    if refused:
        difference = "; ".join(f"{key} was {_shown(before, key)} and is {_shown(now, key)} now" for key in refused)
        raise ConfigError(
            f"{difference}. That is another run: resume goes on with this one. It can change {WORDED}; for the rest "
            "train anew."
        )
    resumption = Resumption(folder, changed, settings, changes)
    if settings.epochs < config.epochs and (resumption.state.epoch, resumption.state.step) > (settings.epochs, 0):
        raise ConfigError(
            f"epochs={settings.epochs}: the run has done {resumption.state.epoch} and more. Type a higher number."
        )
    return resumption


def describe_data(*splits: "Samples") -> dict[str, Any]:
    """Returns how many images each split has, and a hash of their names: what tells data apart without reading it."""
    described = {}
    for samples in splits:
        digest = hashlib.sha256()
        for index in range(len(samples)):
            digest.update(f"{samples.name(index)}\n".encode(errors="surrogateescape"))
        described[samples.split] = {"images": len(samples), "names_sha256": digest.hexdigest()}
    return described


_ABSENT = object()


def _shown(values, key):
    return json.dumps(values[key]) if key in values else "not set"


def _with_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    config = OmegaConf.create(OmegaConf.to_container(config))
    for typed in overrides:
        try:
            _apply(OverridesParser.create().parse_override(typed), config)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"{typed}: {str(error).splitlines()[0]}") from error
    return config


def _apply(override: Override, config: DictConfig) -> None:
    key, typed = override.key_or_group, override.input_line
    if not key:
        raise ConfigError(f"{typed}: a setting is typed as key=value.")
    if override.is_sweep_override():
        raise ConfigError(f"{typed}: has several values. Resume one run with one of them.")
    if override.is_delete():
        parent, _, name = key.rpartition(".")
        holder = OmegaConf.select(config, parent) if parent else config
        if not isinstance(holder, DictConfig) or name not in holder:
            raise ConfigError(f"{typed}: the run has no such setting.")
        del holder[name]
        return
    value = override.value()
    if isinstance(OmegaConf.select(config, key), DictConfig) and isinstance(value, str):
        raise ConfigError(f"{typed}: resume takes single settings, such as callbacks.checkpoint.keep=3.")
    OmegaConf.update(config, key, value, force_add=True)
