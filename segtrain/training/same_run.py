"""What has to be the same for all workers of a run. Imports no TensorFlow."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import segtrain
from segtrain.settings import PATHS_OF_DATA, TrainSettings
from segtrain.training.state_files import FoundState


def digest_of_run(settings: TrainSettings, data: dict[str, Any], state: FoundState | None) -> bytes:
    """Returns a hash, 32 bytes, of the settings, the code, the names of the data and where the run goes on.

    Args:
        settings: of the run.
        data: see `describe_data`.
        state: the state that it goes on from, if it does.
    """
    position = [state.epoch, state.step] if state else [0, 0]  # a run may begin anew under either verb
    told = dataclasses.asdict(settings)
    # Where the data lies may differ between machines, and is written in full in the config that a run goes on with.
    told["dataset"] = {key: value for key, value in told["dataset"].items() if key not in PATHS_OF_DATA}
    told["trainer"].pop("workers", None)  # a worker that the chief has started is told to start none
    facts = [told, segtrain.__version__, data, position]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode(errors="surrogateescape"))
    package = Path(segtrain.__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.digest()
