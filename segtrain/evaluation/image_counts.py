"""per_image.npz: what is counted in each image, from which a split's scores are made up again for any choice of images.

A mean IoU is no mean of the images' own; that of half the images takes the pixels that they have of each class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segtrain.run_folder import written_whole


@dataclass(frozen=True)
class ImageCounts:
    """What is counted in each image of a split, in the order of the images.

    Attributes:
        names: of the images.
        class_names: by class id.
        pixels: uint32 `(images, classes, 3)`; valid pixels that are right, of that class in the truth, predicted as it.
        boundary_f1: float64 `(images,)` in 0..1, mean over the classes in the image's truth; NaN where there is none.
    """

    names: list[str]
    class_names: list[str]
    pixels: np.ndarray
    boundary_f1: np.ndarray

    def __post_init__(self):
        shape = (len(self.names), len(self.class_names), 3)
        if self.pixels.shape != shape or self.pixels.dtype != np.uint32:
            raise ValueError(f"pixels: uint32 {shape} are required, not {self.pixels.dtype} {self.pixels.shape}.")
        if self.boundary_f1.shape != shape[:1] or self.boundary_f1.dtype != np.float64:
            told = f"{self.boundary_f1.dtype} {self.boundary_f1.shape}"
            raise ValueError(f"boundary_f1: float64 {shape[:1]} are required, not {told}.")

    @property
    def right(self) -> np.ndarray:
        """float64 `(images, classes)`."""
        return self.pixels[..., 0].astype(np.float64)

    @property
    def in_truth(self) -> np.ndarray:
        """float64 `(images, classes)`."""
        return self.pixels[..., 1].astype(np.float64)

    @property
    def in_prediction(self) -> np.ndarray:
        """float64 `(images, classes)`."""
        return self.pixels[..., 2].astype(np.float64)


def pixels_of(confusion_matrix: np.ndarray) -> np.ndarray:
    """Returns uint32 `(classes, 3)`, an image's row of `ImageCounts.pixels`, from its matrix `(truth, prediction)`."""
    counts = [np.diag(confusion_matrix), confusion_matrix.sum(axis=1), confusion_matrix.sum(axis=0)]
    return np.stack(counts, axis=-1).astype(np.uint32)


def write_image_counts(path: Path, counts: ImageCounts) -> None:
    """Writes per_image.npz: 12 bytes an image and class at most, before it is compressed."""
    with written_whole(path, counts.pixels.nbytes) as temporary:
        np.savez_compressed(
            temporary,
            names=_as_array(counts.names),
            class_names=_as_array(counts.class_names),
            pixels=counts.pixels,
            boundary_f1=counts.boundary_f1,
        )


def read_image_counts(path: Path) -> ImageCounts:
    """Returns what `write_image_counts` has written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names, class_names = (file[key].tolist() for key in ("names", "class_names"))
            return ImageCounts(names, class_names, file["pixels"], file["boundary_f1"])
    except FileNotFoundError:
        raise
    # NumPy and zipfile pass on what the bytes trip over: EOFError, zlib.error, NotImplementedError, MemoryError
    except Exception as error:
        raise ValueError(f"{path} cannot be read ({error}). Score the run again.") from error


def _as_array(texts: Sequence[str]) -> np.ndarray:
    return np.array(texts, dtype=np.str_).reshape(len(texts))
