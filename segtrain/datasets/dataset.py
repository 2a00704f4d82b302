"""What every dataset is to the rest of segtrain: splits of image and mask, and the facts about its classes."""

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from segtrain.datasets.problems import BadSampleError
from segtrain.machine import usable_cores

CacheChoice = Literal["auto", "memory", "disk", "none"]
ResizeChoice = Literal["stretch", "crop_square", "letterbox"]
BadSampleChoice = Literal["fail", "skip"]

# The check before training opens this many files at most, spread evenly, so that 100,000 pairs start as fast as 100.
SIZES_CHECKED = 200
MASKS_CHECKED = 40

# What may be wrong with a single sample: a file may also vanish, or the disk fail under it.
SAMPLE_ERRORS = (BadSampleError, OSError)


class Split(Protocol):
    """A sequence of samples that are read on demand, from any thread."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Returns a short name for files and captions about the sample, unique in the split."""

    def source(self, index: int) -> str:
        """Returns where the sample's mask comes from, for error messages: a file, or how it was made."""

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Returns `(height, width)` of the image and of the mask, without decoding them."""

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the image, uint8 `(height, width, channels)` in 0..255, and the labels, uint8 `(height, width)`."""


@dataclass(frozen=True)
class SegmentationDataset:
    """Splits and the facts about their classes, which model, loss, metrics and pictures are told.

    Attributes:
        name: the option's name, for titles.
        splits: `train`, `val` and where there is one `test`.
        class_names: names by class id.
        ignore_label: label of void pixels, left out of loss and score; may not be the id of a class.
        palette: RGB colours 0..255 by class id.
        channels: channels of the images.
        white: the value that became 255 in images of more than 8 bits; None where it is the file type's highest.
        cache: where decoded pixels are kept; `auto` takes memory where they fit, else the disk where they fit, else
            decodes anew in every epoch.
        resize: how images of another shape than the network's reach its size. `stretch` changes the aspect ratio;
            `crop_square` takes the largest centred part of the network's aspect ratio; `letterbox` keeps all of the
            image and pads it with void.
        advice_on_labels: what to type where masks hold other labels, a sentence for the end of messages; empty where
            no setting says what labels mean.
        on_bad_sample: whether a sample that cannot be used is a failure, or counts as void.
        max_bad_share: share of a split that may be skipped so, 0..1; more is a failure.
    """

    name: str
    splits: Mapping[str, Split]
    class_names: Sequence[str]
    ignore_label: int
    palette: Sequence[tuple[int, int, int]]
    channels: int = 3
    white: int | None = None
    cache: CacheChoice = "auto"
    resize: ResizeChoice = "stretch"
    advice_on_labels: str = ""
    on_bad_sample: BadSampleChoice = "fail"
    max_bad_share: float = 0.01

    def __post_init__(self):
        if len(self.class_names) < 2:
            raise ValueError(
                "A segmenter needs at least 2 classes; the background counts as one. "
                f"Received: {list(self.class_names)}. For one object use dataset.classes=[background,object]."
            )
        twice = [name for name in self.class_names if list(self.class_names).count(name) > 1]
        if twice:
            raise ValueError(f"Classes need names of their own. Received '{twice[0]}' twice.")
        if len(self.class_names) > 255:
            raise ValueError(f"Labels are held in 8 bits, so there can be 255 classes. Received: {self.num_classes}.")
        if 0 <= self.ignore_label < self.num_classes:
            raise ValueError(
                f"The ignore label has to lie outside the classes 0..{self.num_classes - 1}. "
                f"Received: {self.ignore_label} ({self.class_names[self.ignore_label]})."
            )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def facts(self) -> dict[str, Any]:
        """Returns what results.json and inspect.json say of the classes and images, as plain values."""
        return {
            "class_names": list(self.class_names),
            "ignore_label": self.ignore_label,
            "palette": [list(colour) for colour in self.palette],
            "channels": self.channels,
            "white": self.white,
        }

    def split(self, name: str) -> Split:
        """Returns the split called `name`.

        Raises:
            ValueError: there is none.
        """
        if name not in self.splits:
            raise ValueError(f"{self.name} has no split '{name}'. It has: {', '.join(self.splits)}.")
        return self.splits[name]

    def read(self, split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads one sample and refuses a mask that training would be wrong with.

        Raises:
            BadSampleError: image and mask differ in size, or a label is neither a class nor void; names the file.
        """
        samples = self.split(split)
        image, labels = samples.read(index)
        require_same_size(image.shape[:2], labels.shape, samples.source(index))
        self.require_valid_labels(labels, samples.source(index))
        return image, labels

    def _look_at(self, split: str, index: int) -> tuple[np.ndarray, np.ndarray] | None:
        try:
            return self.read(split, index)
        except SAMPLE_ERRORS:
            if self.on_bad_sample == "fail":
                raise
            return None

    def holds_valid_labels(self, labels: np.ndarray) -> bool:
        """Returns whether each of the uint8 labels, in any shape, is a class or void."""
        if labels.max(initial=0) < self.num_classes:
            return True
        return not ((labels >= self.num_classes) & (labels != self.ignore_label)).any()

    def require_valid_labels(self, labels: np.ndarray, source: str) -> None:
        """Raises a BadSampleError with `source`, value and pixel where a label is neither a class nor void."""
        if self.holds_valid_labels(labels):
            return
        wrong = (labels >= self.num_classes) & (labels != self.ignore_label)
        row, column = np.argwhere(wrong)[0]
        values = ", ".join(str(value) for value in np.unique(labels[wrong])[:8])
        raise BadSampleError(
            "wrong_label",
            f"{source}: label {labels[row, column]} at row {row}, column {column}. Labels have to be "
            f"0..{self.num_classes - 1} ({self.num_classes} classes) or {self.ignore_label} (void). "
            f"Values outside in this mask: {values}. Correct the mask. {self.advice_on_labels}".rstrip(),
        )

    def check(self, split_names: Sequence[str] = ("train", "val")) -> None:
        """Checks what can be known without reading everything: counts, a sample of sizes, a sample of masks.

        Raises:
            ValueError: an empty split, an image whose mask has another size, a wrong label; names the file. Single
                samples are passed over where they are to be skipped.
        """
        for name in split_names:
            samples = self.split(name)
            if len(samples) == 0:
                raise ValueError(f"{self.name}: the split '{name}' is empty. A run needs images in train and in val.")
            if self.on_bad_sample == "fail":
                for index in spread_evenly(len(samples), SIZES_CHECKED):
                    require_same_size(*samples.sizes(index), samples.source(index))
            # Decoding large photos takes a while, and Pillow leaves the lock meanwhile.
            with ThreadPoolExecutor(usable_cores() + 4) as pool:
                looked_at = pool.map(functools.partial(self._look_at, name), spread_evenly(len(samples), MASKS_CHECKED))
                read = [sample for sample in looked_at if sample is not None]
            if read and all((labels == self.ignore_label).all() for _, labels in read):
                raise ValueError(
                    f"{self.name}: the masks looked at in the split '{name}' ({len(read)} of {len(samples)}, such "
                    f"as {samples.source(0)}) hold nothing but {self.ignore_label}, the void label, so there is "
                    f"nothing to learn or to score. {self.advice_on_labels}".rstrip()
                )


def require_same_size(image_size: tuple[int, int], mask_size: tuple[int, int], source: str) -> None:
    """Raises a BadSampleError that names `source` where two `(height, width)` differ."""
    if tuple(image_size) != tuple(mask_size):
        remedy = "A mask needs a label for every pixel of its image; export it at the image's size."
        if tuple(image_size) == tuple(mask_size)[::-1]:
            remedy = (
                "One of the two lies on its side. Often the image has an orientation tag (EXIF), which is followed, "
                "and the mask was drawn on the pixels as they are stored: turn the mask, or take the tag out."
            )
        raise BadSampleError(
            "size_mismatch",
            f"{source}: the mask is {mask_size[0]}x{mask_size[1]} (height x width) but its image is "
            f"{image_size[0]}x{image_size[1]}. {remedy}",
        )


def spread_evenly(count: int, most: int) -> np.ndarray:
    """Returns up to `most` indices spread evenly over `range(count)`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
