"""Splits of a TensorFlow Datasets builder, read in any order and from any thread, without TensorFlow."""

import functools
import io
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from segtrain.datasets.tfds_preparation import builder_by_name, prepared, prepared_by_name, tfds_folder

__all__ = [
    "TfdsSplit",
    "builder_by_name",
    "decode_image",
    "decode_mask",
    "feature_at",
    "feature_paths",
    "prepared",
    "prepared_by_name",
    "tfds_folder",
]

# A sample is asked for its pixels and then for its name: the bytes of the last few stay.
EXAMPLES_KEPT = 8
# Pillow refuses a JPEG file without its end, but its decoder makes the best of one where the end comes too early.
START_OF_JPEG, END_OF_JPEG = b"\xff\xd8", b"\xff\xd9"
GREY_OF_WHAT_IS_MISSING, MOST_MISSING = 128, 0.9


class TfdsSplit:
    """One split of a prepared builder. Implements `Split`.

    Nothing is decoded but the image and the mask of the sample that is read, whatever else the dataset holds.

    Args:
        builder: see `prepared`.
        split: TFDS's name of the split, slices such as `train[:80%]` included.
        image_key: feature with the image; `a/b` is feature `b` in feature `a`.
        mask_key: feature with the mask, an image of one channel; of several, the first (red) counts. Of an image with
            a palette it is the indices.
        name_key: feature with the sample's name, a text, or None for its number.
        label_of: uint8 `(256,)`, the label of each value in the mask.
        chosen: places in the split that are used, in this order; all when None.

    Raises:
        ValueError: TFDS knows no such split; or the data was prepared in a format that is read from its beginning
            only.
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
        try:
            records = builder.as_data_source(split=split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        except NotImplementedError as error:
            raise ValueError(
                f"{builder.data_dir} was not prepared as ArrayRecord files, the format that is read in any order. "
                "Take that folder away, or type SEGTRAIN_DATA=/another/folder in front of the command."
            ) from error
        keys = [key for key in (image_key, mask_key, name_key) if key is not None]
        read_example = _parser(builder.info.features, keys, as_stored=(image_key, mask_key))
        # These know no `self`: in a circle with it, the examples would stay until the collector comes by.
        self._example = functools.lru_cache(EXAMPLES_KEPT)(lambda place: read_example(records[place]))
        self._split = f"{builder.info.full_name} {split}"
        self._image_key, self._mask_key, self._name_key = image_key, mask_key, name_key
        self._label_of = label_of
        self._chosen = range(len(records)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def name(self, index: int) -> str:
        place = int(self._chosen[index])
        if self._name_key is None:
            return f"{place:06}"
        return os.path.splitext(self._example(place)[self._name_key].decode())[0]

    def source(self, index: int) -> str:
        return f"{self._split}, {self.name(index)}"

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        example, source = self._example(int(self._chosen[index])), self.source(index)
        image, mask = example[self._image_key], example[self._mask_key]
        image_size = _size_in_header(image) or decode_image(image, source).shape[:2]
        return image_size, _size_in_header(mask) or decode_mask(mask, source).shape

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        example, source = self._example(int(self._chosen[index])), self.source(index)
        values = decode_mask(example[self._mask_key], source)
        if values.max(initial=0) >= len(self._label_of):
            raise ValueError(
                f"{source}: value {values.max()} in the mask. Labels are held in 8 bits, so values have to be 0..255."
            )
        return decode_image(example[self._image_key], source), self._label_of[values]


def decode_image(file: bytes, source: str) -> np.ndarray:
    """Decodes an image file whatever its name says it is: JPEG (grey and CMYK too), PNG, GIF or BMP.

    Published datasets have JPEG files that end early. What there is of them is read, and the rest is grey.

    Args:
        file: what is in the file.
        source: what to call it in errors.

    Returns:
        uint8 `(height, width, 3)`, RGB in 0..255. Transparency is left out, the first picture of several is taken,
        and none is turned as its camera was held: masks are drawn on the pixels as they are.

    Raises:
        ValueError: nine tenths of it or more cannot be decoded; names `source`.
    """
    try:
        return _rgb_of(file)
    except Exception as error:
        if not file.startswith(START_OF_JPEG):
            raise _unreadable(source, "image", error) from error
        try:
            pixels = _rgb_of(file + END_OF_JPEG)
        except Exception:
            raise _unreadable(source, "image", error) from error
        if (pixels == GREY_OF_WHAT_IS_MISSING).all(axis=-1).mean() > MOST_MISSING:
            raise _unreadable(source, "image", error) from error
        return pixels


def _rgb_of(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as picture:
        return np.asarray(picture.convert("RGB"))


def decode_mask(file: bytes, source: str) -> np.ndarray:
    """Decodes a mask file.

    Returns:
        Unsigned integers `(height, width)`: grey values, palette indices, or the first of several channels.

    Raises:
        ValueError: it cannot be decoded to its end; names `source`.
    """
    try:
        with Image.open(io.BytesIO(file)) as picture:
            values = np.asarray(picture)
    except Exception as error:
        raise _unreadable(source, "mask", error) from error
    values = values if values.ndim == 2 else values[..., 0]
    return values.astype(np.uint8) if values.dtype == bool else values


def feature_paths(features: tfds.features.FeaturesDict) -> dict[str, tuple[str, ...]]:
    """Returns the names that lead to each feature, by the key it is chosen with: `a/b` is `b` in the feature `a`."""
    paths = {}
    for name, feature in features.items():
        inner = feature_paths(feature) if isinstance(feature, tfds.features.FeaturesDict) else {"": ()}
        paths |= {"/".join((name, *path)): (name, *path) for path in inner.values()}
    return paths


def feature_at(features: tfds.features.FeaturesDict, path: Sequence[str]) -> tfds.features.FeatureConnector:
    """Returns the feature that a path of names leads to."""
    return functools.reduce(lambda inner, name: inner[name], path, features)


def _parser(
    features: tfds.features.FeaturesDict, keys: Sequence[str], as_stored: Sequence[str]
) -> Callable[[bytes], dict[str, Any]]:
    """Returns a function from a serialized example to the features `keys` of it."""
    paths = {key: feature_paths(features)[key] for key in keys}
    wanted, decoders = {}, {}
    for key, path in paths.items():
        _set_at(wanted, path, feature_at(features, path))
        if key in as_stored:
            _set_at(decoders, path, tfds.decode.SkipDecoding())
    wanted = tfds.features.FeaturesDict(wanted)

    def parse(record: bytes) -> dict[str, Any]:
        example = wanted.deserialize_example_np(record, decoders=decoders)
        return {key: feature_at(example, path) for key, path in paths.items()}

    return parse


def _set_at(nested: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *parents, last = path
    functools.reduce(lambda inner, name: inner.setdefault(name, {}), parents, nested)[last] = value


def _size_in_header(file: bytes) -> tuple[int, int] | None:
    """Returns `(height, width)`, or None where Pillow does not know the file; OpenCV may."""
    try:
        with Image.open(io.BytesIO(file)) as picture:
            return picture.height, picture.width
    except Exception:
        return None


def _unreadable(source: str, what: str, error: Exception) -> ValueError:
    return ValueError(f"{source}: cannot be read as {what} ({error}). Take the sample out of the dataset.")
