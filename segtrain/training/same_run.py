"""What has to be the same for all workers of a run. Imports no TensorFlow."""

import dataclasses
import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import segtrain
from segtrain.settings import PATHS_OF_DATA, TrainSettings
from segtrain.training.state_files import FoundState


def digests_of_run(settings: TrainSettings, data: dict[str, Any], state: FoundState | None) -> dict[str, bytes]:
    """Returns a hash, 32 bytes, of each that has to be the same: settings, names of the data, code, where it goes on.

    Args:
        settings: of the run.
        data: see `describe_data`.
        state: the state that it goes on from, if it does.
    """
    told = dataclasses.asdict(settings)
    # Where the data lies may differ between machines, and is written in full in the config that a run goes on with.
    told["dataset"] = {key: value for key, value in told["dataset"].items() if key not in PATHS_OF_DATA}
    told["trainer"].pop("workers", None)  # a worker that the chief has started is told to start none
    code = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    package = Path(segtrain.__file__).parent
    for path in sorted(package.rglob("*.py")):
        code[path.relative_to(package).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "config": _digest(told),
        "data": _digest(data),
        "version of segtrain, TensorFlow, Keras or NumPy": _digest(code),
        "state to go on from": _digest([state.epoch, state.step] if state else [0, 0]),  # it may begin anew by resume
    }


def _digest(facts: Any) -> bytes:
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
