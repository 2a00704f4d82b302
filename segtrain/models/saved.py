"""Loads a model's file, which may be a stranger's, or damaged."""

import zipfile
from pathlib import Path

import keras

import segtrain.layers  # noqa: F401  (registers what the file names)

MOST_UNPACKED = 20  # times the file's size; a file that is packed once more comes to less


def load_saved_model(path: Path) -> keras.Model:
    """Returns the model of a `.keras` file, without an optimizer. No code in the file is run.

    Raises:
        ValueError: the file is damaged or not there, holds code (a Lambda layer), or layers that are not installed.
    """
    try:
        _require_few_bytes(path)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of a damaged file, zip, JSON, HDF5 and Keras each raise their own
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if isinstance(error, zipfile.BadZipFile | KeyError) or reason.startswith("File not found: filepath="):
            reason = "it is damaged, or no .keras file" if path.is_file() else "there is no such file"
        if "Lambda" in str(error) or "safe_mode" in str(error):
            reason = "it holds code, such as a Lambda layer, and code from a file is not run"
        raise ValueError(f"{path} cannot be loaded as a model: {reason.rstrip('.')}.") from error


def _require_few_bytes(path: Path) -> None:
    """Refuses a file that unpacks to much more than it is. Keras compresses nothing."""
    packed = path.stat().st_size
    with zipfile.ZipFile(path) as file:
        unpacked = sum(member.file_size for member in file.infolist())
    if unpacked > MOST_UNPACKED * packed:
        raise ValueError(f"its {packed:,} bytes unpack to {unpacked:,}, more than {MOST_UNPACKED} times as many")
