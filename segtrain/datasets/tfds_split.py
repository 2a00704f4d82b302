"""Splits of a TensorFlow Datasets builder, read in any order and from any thread, without TensorFlow."""

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from segtrain.datasets.data_folder import data_folder, only_process


def prepared(builder: tfds.core.DatasetBuilder, **download_and_prepare: Any) -> tfds.core.DatasetBuilder:
    """Downloads and prepares a builder's data unless it is there; one process does, the others wait.

    TFDS writes to a folder of another name and renames it when all is written.

    Args:
        builder: made with `file_format="array_record"`, which can be read in any order.
        **download_and_prepare: arguments of the builder's method of that name.

    Returns:
        The builder.
    """
    if not builder.is_prepared():
        with only_process(builder.info.full_name.replace("/", "-")):
            # By a process that was waited for, it may have been by now.
            if not builder.is_prepared():
                builder.download_and_prepare(**download_and_prepare)
    return builder


def tfds_folder() -> str:
    """Returns the `data_dir` of builders."""
    return str(data_folder() / "tensorflow_datasets")


class TfdsSplit:
    """One split of a prepared builder. Implements `Split`.

    Args:
        builder: see `prepared`.
        split: TFDS's name of the split, slices such as `train[:80%]` included.
        image_key: feature with the image.
        mask_key: feature with the mask, an image of one channel; of several, the first counts.
        name_key: feature with the sample's name, or None for its number.
        label_of: uint8 `(256,)`, the label of each value in the mask.
        chosen: places in the split that are used, in this order; all when None.
    """

    def __init__(
        self,
        builder: tfds.core.DatasetBuilder,
        split: str,
        *,
        image_key: str,
        mask_key: str,
        name_key: str | None,
        label_of: np.ndarray,
        chosen: Sequence[int] | None = None,
    ):
        as_stored = {key: tfds.decode.SkipDecoding() for key in (image_key, mask_key)}
        self._source = builder.as_data_source(split=split, decoders=as_stored)
        self._split = f"{builder.info.full_name} {split}"
        self._image_key, self._mask_key, self._name_key = image_key, mask_key, name_key
        self._label_of = label_of
        self._chosen = range(len(self._source)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def name(self, index: int) -> str:
        return self._name(self._chosen[index], self._example(index))

    def source(self, index: int) -> str:
        return f"{self._split}, {self.name(index)}"

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        example = self._example(index)
        with self._opened(example, self._image_key) as image, self._opened(example, self._mask_key) as mask:
            return (image.height, image.width), (mask.height, mask.width)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        example = self._example(index)
        with self._opened(example, self._image_key) as image, self._opened(example, self._mask_key) as mask:
            values = np.asarray(mask)
            return np.asarray(image.convert("RGB")), self._label_of[values if values.ndim == 2 else values[..., 0]]

    def _example(self, index):
        return self._source[int(self._chosen[index])]

    def _name(self, place, example):
        return f"{place:06}" if self._name_key is None else os.path.splitext(example[self._name_key].decode())[0]

    def _opened(self, example, key):
        return Image.open(io.BytesIO(example[key]))
