"""Train semantic-segmentation models from a config."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segtrain.prediction.choices import TtaChoice
    from segtrain.prediction.predictor import Predictor

__version__ = "0.1.0"

# albumentations asks the package index for a newer release whenever it is imported. A run neither needs
# that nor should wait for it, and only a value set before the import is honoured.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# TensorFlow's start-up notices (CPU features, missing CUDA) would be the first lines a user sees. Errors stay.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Without it TensorFlow takes all of a GPU's memory when it starts, and two jobs of a sweep do not fit on one.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
# TensorFlow turns its oneDNN kernels on by itself on some processors only. Where it does not, a training step takes a
# quarter longer without them. TF_ENABLE_ONEDNN_OPTS=0 in the environment leaves them off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def load(
    run: str | Path,
    *,
    tta: "Sequence[TtaChoice]" = (),
    sliding_window: tuple[int, int] | None = None,
    overlap: float = 0.5,
) -> "Predictor":
    """Loads a finished run's best checkpoint: `segtrain.load(run).predict(image)` does what `segtrain predict` does.

    Imports TensorFlow, which takes seconds.

    Args:
        run: the folder that the run printed.
        tta: any of `flip` and `scales`; see `Predictor`.
        sliding_window: `(height, width)` of tiles; None shows the network the whole image.
        overlap: share of a tile that its neighbour covers too, 0 <= overlap < 1.

    Returns:
        What turns an image, uint8 `(height, width, channels)`, into class ids, uint8 `(height, width)`.

    Raises:
        ValueError: there is no such run, or an argument is out of range.
    """
    from segtrain.prediction.predictor import Predictor
    from segtrain.run_folder import RunFolder

    return Predictor(RunFolder.of_run(Path(run).expanduser()), tta=tta, sliding_window=sliding_window, overlap=overlap)
