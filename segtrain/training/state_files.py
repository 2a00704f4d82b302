"""The files of checkpoints/last/: which there are, which is sound, which are no longer needed. Imports no TensorFlow.

    epoch-0003-step-00012.npz   all that training is made of after 3 epochs and 12 steps of the fourth
    best-epoch-0002.keras       the best network up to there; checkpoints/best.keras is the same file

A best network is written under its epoch's name, then the state that counts it, and only then becomes best.keras. So
whenever a run is killed, the newest state's best network is there, and no later one is taken for it.
"""

import os
import re
import shutil
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from segtrain.run_folder import RunFolder, written_whole

_STATE = re.compile(r"epoch-(\d+)-step-(\d+)\.npz")
_BEST = re.compile(r"best-epoch-(\d+)\.keras")


@dataclass(frozen=True)
class FoundState:
    """The state that a run goes on from.

    Attributes:
        path: the newest file that is sound; None where there is none.
        epoch: complete epochs.
        step: steps of the next epoch that are done.
        damaged: newer files, which cannot be read.
    """

    path: Path | None = None
    epoch: int = 0
    step: int = 0
    damaged: list[Path] = field(default_factory=list)


def state_path(folder: RunFolder, epoch: int, step: int) -> Path:
    """Returns the file of the state after `epoch` complete epochs and `step` steps of the next."""
    return folder.last / f"epoch-{epoch:04d}-step-{step:05d}.npz"


def best_path(folder: RunFolder, epoch: int) -> Path:
    """Returns the file of the network that was the best one after `epoch` epochs."""
    return folder.last / f"best-epoch-{epoch:04d}.keras"


def find_state(folder: RunFolder, before: tuple[int, int] | None = None) -> FoundState:
    """Returns the newest state whose every byte is as it was written: the archive holds a checksum of each array.

    Args:
        folder: the run's folder.
        before: epoch and step of a state that is too new, as are those after it.
    """
    damaged = []
    for (epoch, step), path in reversed(_numbered(folder, _STATE)):
        if before is not None and (epoch, step) >= before:
            continue
        if _is_sound(path):
            return FoundState(path, epoch, step, damaged)
        damaged.append(path)
    return FoundState(damaged=damaged)


def files_until(folder: RunFolder, state: FoundState) -> list[Path]:
    """Returns the sound states and the best networks that there were when `state` was saved."""
    position = (state.epoch, state.step)
    states = [path for at, path in _numbered(folder, _STATE) if at <= position and path not in state.damaged]
    return states + [path for (epoch,), path in _numbered(folder, _BEST) if epoch <= state.epoch]


def go_back_to(folder: RunFolder, state: FoundState) -> None:
    """Makes the folder what it was when `state` was saved: what came after it is going to be written again.

    Removes what a killed process was still writing, too.
    """
    kept = files_until(folder, state)
    for _, path in (*_numbered(folder, _STATE), *_numbered(folder, _BEST)):
        if path not in kept:
            path.unlink()
    for path in folder.path.rglob(".*.part*"):
        path.unlink(missing_ok=True)
    if not _numbered(folder, _BEST):  # none was the best by then
        folder.best_model.unlink(missing_ok=True)
    publish_best(folder)


def publish_best(folder: RunFolder) -> None:
    """Makes the latest best network best.keras."""
    networks = _numbered(folder, _BEST)
    if not networks:
        return
    (_, path) = networks[-1]
    with written_whole(folder.best_model, path.stat().st_size) as temporary:
        try:
            os.link(path, temporary)  # no second copy on the disk
        except OSError:  # not every file system has links
            shutil.copyfile(path, temporary)


def drop_old(folder: RunFolder, keep: int) -> None:
    """Keeps the `keep` newest states, and the networks that were the best ones for any of them."""
    states = _numbered(folder, _STATE)
    for _, path in states[:-keep]:
        path.unlink()
    if not states:
        return
    (oldest_epoch, _), _ = states[-keep:][0]
    networks = _numbered(folder, _BEST)
    of_oldest = [number for number, ((epoch,), _) in enumerate(networks) if epoch <= oldest_epoch]
    for _, path in networks[: of_oldest[-1]] if of_oldest else []:
        path.unlink()


def _numbered(folder: RunFolder, pattern: re.Pattern) -> list[tuple[tuple[int, ...], Path]]:
    """Returns the numbers in the files' names and their paths, in the numbers' order."""
    found = ((pattern.fullmatch(path.name), path) for path in folder.last.glob("*"))
    return sorted((tuple(map(int, match.groups())), path) for match, path in found if match)


def _is_sound(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError):
        return False
