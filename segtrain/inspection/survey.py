"""Reads every pair of a split, in parallel, and counts what is in them."""

import collections
import functools
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from segtrain.datasets.dataset import SegmentationDataset, Split, require_same_size
from segtrain.datasets.mask_coding import ValueSummary
from segtrain.datasets.problems import Problem, Tell
from segtrain.in_threads import READ_AHEAD, map_in_threads
from segtrain.inspection.broken_pairs import HasImageFiles, name_fault
from segtrain.inspection.image_kinds import kind_as_read, kind_of_file
from segtrain.inspection.mask_values import look_at_mask
from segtrain.machine import usable_cores
from segtrain.pipeline.counting import count_values


class SplitSurvey:
    """Counts over a split. Of each pair 18 bytes are kept, whatever its size.

    Attributes:
        name: the split's name.
        count: pairs in the split.
        sizes: how many images have each `(height, width)`, those of pairs that cannot be read included.
        image_kinds: how many images have channels and depth of each kind, such as `RGB, 8 bits`: those of the file, or
            of the image as it is read where it is none.
        class_pixels: int64 `(classes,)`, pixels of each class.
        class_images: int64 `(classes,)`, masks with at least one pixel of the class.
        pixels_of_images: int64 `(classes,)`, all pixels of those masks.
        void_pixels: pixels of the void label.
        wrong_pixels: pixels of labels that are neither class nor void.
        values: what the masks' files hold; nothing where masks are no files.
        most_of: int64 `(classes,)`, index of the sound pair with most pixels of each class; -1 where there is none.
        digests: uint8 `(count, 16)`, of each image's pixels.
        was_read: bool `(count,)`, whether the pair could be read; the other counts are over those.
        is_sound: bool `(count,)`, whether training could use the pair.
    """

    def __init__(self, dataset: SegmentationDataset, name: str):
        self.name = name
        self.count = len(dataset.split(name))
        self.sizes: collections.Counter[tuple[int, int]] = collections.Counter()
        self.image_kinds: collections.Counter[str] = collections.Counter()
        self.class_pixels = np.zeros(dataset.num_classes, np.int64)
        self.class_images = np.zeros(dataset.num_classes, np.int64)
        self.pixels_of_images = np.zeros(dataset.num_classes, np.int64)
        self.void_pixels = 0
        self.wrong_pixels = 0
        self.values = ValueSummary()
        self.most_of = np.full(dataset.num_classes, -1)
        self.digests = np.zeros((self.count, 16), np.uint8)
        self.was_read = np.zeros(self.count, bool)
        self.is_sound = np.zeros(self.count, bool)
        self._ignore_label = dataset.ignore_label
        self._most = np.zeros(dataset.num_classes, np.int64)

    def add(self, index: int, reading: "Reading") -> None:
        """Counts a pair in."""
        self.values += reading.values
        if reading.size is not None:
            self.sizes[reading.size] += 1
        if reading.image_kind is not None:
            self.image_kinds[reading.image_kind] += 1
        if reading.label_pixels is None:
            return
        pixels = reading.label_pixels[: len(self.class_pixels)]
        self.class_pixels += pixels
        self.class_images += pixels > 0
        self.pixels_of_images[pixels > 0] += reading.label_pixels.sum()
        void_pixels, all_pixels = int(reading.label_pixels[self._ignore_label]), int(reading.label_pixels.sum())
        self.void_pixels += void_pixels
        self.wrong_pixels += all_pixels - int(pixels.sum()) - void_pixels
        self.digests[index] = np.frombuffer(reading.digest, np.uint8)
        self.was_read[index] = True
        self.is_sound[index] = reading.is_sound
        if reading.is_sound:
            self.most_of[pixels > self._most] = index
            self._most = np.maximum(self._most, pixels)

    @property
    def is_all_void(self) -> bool:
        """Whether masks were read and hold nothing but void."""
        return self.void_pixels > 0 and not self.class_pixels.any() and not self.wrong_pixels


@dataclass(frozen=True)
class Reading:
    """What one pair holds.

    Attributes:
        problems: what is wrong with it.
        size: `(height, width)` of the image; None where not even its header can be read.
        image_kind: channels and depth of the image; None like `size`.
        label_pixels: int64 `(256,)`, pixels of each label in the mask; None where the pair cannot be read.
        digest: 16 bytes, of the image's pixels; None where the pair cannot be read.
        is_sound: whether training could use the pair.
        values: what the mask's file holds.
    """

    problems: list[Problem]
    size: tuple[int, int] | None
    image_kind: str | None
    label_pixels: np.ndarray | None
    digest: bytes | None
    is_sound: bool
    values: ValueSummary


def survey_split(
    dataset: SegmentationDataset, name: str, tell: Tell, track: Callable[[Iterable], Iterable] = iter
) -> SplitSurvey:
    """Reads every pair of a split and tells what is wrong with each.

    Args:
        dataset: the dataset.
        name: the split.
        tell: takes the problems, in the order of the pairs.
        track: follows an iterable of as many items as the split has pairs, to show how far it is.
    """
    survey = SplitSurvey(dataset, name)
    readings = map_in_threads(
        functools.partial(read_pair, dataset, name),
        range(survey.count),
        num_threads=usable_cores(),
        most_waiting=READ_AHEAD,
    )
    for index, reading in enumerate(track(readings)):
        for problem in reading.problems:
            tell(problem)
        survey.add(index, reading)
    return survey


def read_pair(dataset: SegmentationDataset, name: str, index: int) -> Reading:
    """Reads a pair and returns what it holds and what is wrong with it."""
    samples = dataset.split(name)
    values = look_at_mask(samples, index)
    image_kind = kind_of_file(samples.image_source(index)) if isinstance(samples, HasImageFiles) else None
    try:
        image, labels = samples.read(index)
        source = samples.source(index)
    except Exception as error:  # a split of anybody's may raise anything, and one pair is not to end all
        problems = [name_fault(samples, index, error)]
        return Reading(problems, _size_from_header(samples, index), image_kind, None, None, False, values)
    problems, image_kind = [], image_kind or kind_as_read(image.shape[2])
    try:
        require_same_size(image.shape[:2], labels.shape, source)
    except ValueError as error:
        problems.append(Problem("size_mismatch", source, str(error)))
    try:
        dataset.require_valid_labels(labels, source)
    except ValueError as error:
        problems.append(Problem("wrong_label", source, str(error)))
    is_sound = not problems
    label_pixels = count_values(labels)
    if label_pixels[dataset.ignore_label] == labels.size:
        detail = (
            f"{source}: nothing but {dataset.ignore_label}, the void label, so there is nothing to learn from it. "
            "Label it or take it out."
        )
        problems.append(Problem("all_void", source, detail))
    return Reading(problems, image.shape[:2], image_kind, label_pixels, digest_of(image), is_sound, values)


def _size_from_header(samples: Split, index: int) -> tuple[int, int] | None:
    try:
        return samples.sizes(index)[0]
    except Exception:
        return None


def digest_of(image: np.ndarray) -> bytes:
    """Returns 16 bytes that depend on an image's pixels and shape, and on nothing else of its file."""
    digest = hashlib.blake2b(str(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image))
    return digest.digest()
