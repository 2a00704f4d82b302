"""Loads a model's file, which may be a stranger's, or damaged."""

from pathlib import Path

import keras

import segtrain.layers  # noqa: F401  (registers what the file names)


def load_saved_model(path: Path) -> keras.Model:
    """Returns the model of a `.keras` file, without an optimizer. No code in the file is run.

    Raises:
        ValueError: the file is damaged or not there, holds code (a Lambda layer), or layers that are not installed.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of a damaged file, zip, JSON, HDF5 and Keras each raise their own
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if "Lambda" in str(error) or "safe_mode" in str(error):
            reason = "it holds code, such as a Lambda layer, and code from a file is not run"
        raise ValueError(f"{path} cannot be loaded as a model: {reason.rstrip('.')}.") from error
