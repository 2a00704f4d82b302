"""Where a run ran, as far as its numbers may depend on it."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import tensorflow as tf

import segtrain

PACKAGES = ("tensorflow", "keras", "numpy", "albumentations", "opencv-python-headless", "hydra-core")


def describe_environment(strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """Returns versions, devices and, in a checkout, the git revision."""
    return {
        "segtrain": segtrain.__version__,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "replicas": strategy.num_replicas_in_sync,
        "git_revision": _git_revision(),
    }


def _git_revision() -> str | None:
    checkout = Path(segtrain.__file__).parents[1]
    if not (checkout / ".git").exists():
        return None
    try:
        finished = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=checkout, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return finished.stdout.strip()
