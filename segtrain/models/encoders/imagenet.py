"""ImageNet's weights, which keras downloads."""

import contextlib
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras


def build_with_imagenet(application: Callable[..., keras.Model], setting: str, **options: Any) -> keras.Model:
    """Builds a network of keras.applications with ImageNet's weights.

    Raises:
        ValueError: they cannot be downloaded, or the file is damaged; with what to do.
    """
    output = _HeldBack(sys.stdout)
    try:
        with contextlib.redirect_stdout(output), _whole_tracebacks():
            return application(weights="imagenet", **options)
    except Exception as error:  # keras raises plain ones
        loaded, reason = _file_being_loaded(error), _first_line(error)
        if loaded:
            told = f"{loaded} is damaged: {reason}. Delete it to have it downloaded again,"
        else:
            told = (
                f"the weights of {application.__name__} could not be downloaded: {_how_to_fetch(error, output.held)},"
            )
        raise ValueError(f"{setting}=imagenet: {told} or type {setting}=null to start from random ones.") from error


class _HeldBack:
    """Standard output that shows what keras says of a download once that begins: when it shows no whole line."""

    def __init__(self, stream: Any):
        self.stream, self.held, self.begins = stream, "", False

    def write(self, text: str) -> int:
        if self.begins or not text.endswith("\n"):
            self.stream.write(text if self.begins else self.held + text)
            self.begins = True
        else:
            self.held += text
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def _whole_tracebacks() -> Iterator[None]:
    """Has keras leave its own frames in tracebacks: they tell what it was doing."""
    filtered = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        if filtered:
            keras.config.enable_traceback_filtering()


def _file_being_loaded(error: Exception) -> str | None:
    """Returns the file that `Model.load_weights` was reading; None where it did not come to that."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    files = [frame.f_locals.get("filepath") for frame in frames if frame.f_code.co_name == "load_weights"]
    return str(files[0]) if files else None


def _how_to_fetch(error: Exception, output: str) -> str:
    address = re.search(r"https?://\S+\w", f"{output} {error}")
    folder = _download_folder() / "models"
    # Keras' words are "URL fetch failure on ADDRESS: None -- REASON".
    reason = _first_line(error).rpartition(" -- ")[2]
    if "A local file was found" in output:
        reason += f" (the file in {folder} was damaged)"
    return f"{reason}. Put {address[0] if address else 'the file'} into {folder}"


def _download_folder() -> Path:
    """Returns where keras puts what it downloads; it has no public name for it."""
    # Not pathlib's, which raises where there is no home.
    folder = os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))
    if os.access(folder, os.W_OK):
        return Path(folder)
    return Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir(), ".keras")


def _first_line(error: Exception) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line.rstrip(".")
