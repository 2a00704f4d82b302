"""Splits of a TensorFlow Datasets builder, read in any order and from any thread, without TensorFlow."""

import functools
import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from segtrain.datasets.data_folder import ELSEWHERE
from segtrain.datasets.image_files import opened_picture
from segtrain.datasets.problems import BadSampleError

# In `label_of`: a value that a mask may not hold.
NO_LABEL = -1
# A sample is asked for its pixels and then for its name: the bytes of the last few stay.
EXAMPLES_KEPT = 8
# Pillow refuses a JPEG file without its end, but its decoder makes the best of one where the end comes too early.
START_OF_JPEG, END_OF_JPEG = b"\xff\xd8", b"\xff\xd9"
GREY_OF_WHAT_IS_MISSING, MOST_MISSING = 128, 0.9
# Where a PNG says how many bits a channel has, and the kind of its pixels: colour, or grey or colour with alpha.
START_OF_PNG, PLACE_OF_BITS, PLACE_OF_KIND, KINDS_OF_SEVERAL_CHANNELS = b"\x89PNG", 24, 25, (2, 4, 6)
# What sample names may end in and files of ours should not; other text after a dot is part of the name.
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".webp"}


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
        label_of: integers `(256,)`, the label 0..255 of each value in the mask, or NO_LABEL.
        chosen: places in the split that are used, in this order; all when None.
        takes_cut_images: JPEGs that end early are read as far as they go; see `decode_image`.
        advice: what to do about a value that has no label, for the message.

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
        takes_cut_images: bool = False,
        advice: str = "The data is damaged, or of another version than this dataset's option reads.",
    ):
        try:
            records = builder.as_data_source(split=split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        except NotImplementedError as error:
            raise ValueError(
                f"{builder.data_dir} was not prepared as ArrayRecord files, the format that is read in any order. "
                f"Take that folder away, or {ELSEWHERE}."
            ) from error
        keys = [key for key in (image_key, mask_key, name_key) if key is not None]
        read_example = _parser(builder.info.features, keys, as_stored=(image_key, mask_key))
        # These know no `self`: in a circle with it, the examples would stay until the collector comes by.
        self._example = functools.lru_cache(EXAMPLES_KEPT)(lambda place: read_example(records[place]))
        self._split = f"{builder.info.full_name} {split}"
        self._image_key, self._mask_key, self._name_key = image_key, mask_key, name_key
        self._label_of = np.asarray(label_of, np.int16)
        self._takes_cut_images, self._advice = takes_cut_images, advice
        self._chosen = range(len(records)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def name(self, index: int) -> str:
        place = int(self._chosen[index])
        if self._name_key is None:
            return f"{place:06}"
        name = self._example(place)[self._name_key].decode()
        stem, suffix = os.path.splitext(name)
        return stem if suffix.lower() in IMAGE_SUFFIXES else name

    def source(self, index: int) -> str:
        return f"{self._split}, {self.name(index)}"

    def sizes(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        example, source = self._example(int(self._chosen[index])), self.source(index)
        image, mask = example[self._image_key], example[self._mask_key]
        image_size = _size_in_header(image) or self._decode_image(image, source).shape[:2]
        return image_size, _size_in_header(mask) or decode_mask(mask, source).shape

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = self._example(int(self._chosen[index]))[self._image_key]
        return self._decode_image(image, self.source(index)), self.read_labels(index)

    def read_labels(self, index: int) -> np.ndarray:
        """Returns the labels alone, uint8 `(height, width)`.

        Raises:
            BadSampleError: the mask cannot be read, or holds a value that has no label; names it as it is stored.
        """
        source = self.source(index)
        values = decode_mask(self._example(int(self._chosen[index]))[self._mask_key], source)
        highest = len(self._label_of) - 1
        labels = np.where(values <= highest, self._label_of.take(values, mode="clip"), NO_LABEL)
        if labels.min(initial=0) == NO_LABEL:
            raise BadSampleError("wrong_label", f"{source}: {self._told_of_values(values, labels)}")
        return labels.astype(np.uint8)

    def _decode_image(self, file: bytes, source: str) -> np.ndarray:
        return decode_image(file, source, takes_cut=self._takes_cut_images)

    def _told_of_values(self, values: np.ndarray, labels: np.ndarray) -> str:
        is_wrong = labels == NO_LABEL
        row, column = np.argwhere(is_wrong)[0]
        wrong = ", ".join(map(str, np.unique(values[is_wrong])[:8]))
        return (
            f"the mask holds {values[row, column]} at row {row}, column {column}. Its values have to be "
            f"{_ranges(np.flatnonzero(self._label_of != NO_LABEL))}. Values outside in this mask: {wrong}. "
            f"{self._advice}"
        )


def tfds_splits(builder: tfds.core.DatasetBuilder, places: Mapping[str, str], **arguments: Any) -> dict[str, TfdsSplit]:
    """Returns splits of a prepared builder by our name of them.

    Args:
        builder: see `prepared`.
        places: TFDS's name of each split, by ours.
        **arguments: those of `TfdsSplit` that all have in common.
    """
    return {name: TfdsSplit(builder, place, **arguments) for name, place in places.items()}


def decode_image(file: bytes, source: str, *, takes_cut: bool = False) -> np.ndarray:
    """Decodes an image file whatever its name says it is: JPEG (grey and CMYK too), PNG, GIF or BMP.

    Args:
        file: what is in the file.
        source: what to call it in errors.
        takes_cut: of a JPEG that ends early, what there is of it is read, and the rest is grey. Some published
            datasets have a few.

    Returns:
        uint8 `(height, width, 3)`, RGB in 0..255. Transparency is left out, the first picture of several is taken,
        and none is turned as its camera was held: masks are drawn on the pixels as they are.

    Raises:
        BadSampleError: it cannot be decoded to its end, or with `takes_cut` not even a tenth of it; names `source`.
    """
    try:
        return _rgb_of(file)
    except Exception as error:
        if not (takes_cut and file.startswith(START_OF_JPEG)):
            raise _unreadable(source, "image", error) from error
        try:
            pixels = _rgb_of(file + END_OF_JPEG)
        except Exception:
            raise _unreadable(source, "image", error) from error
        if (pixels == GREY_OF_WHAT_IS_MISSING).all(axis=-1).mean() > MOST_MISSING:
            raise _unreadable(source, "image", error) from error
        return pixels


def _rgb_of(file: bytes) -> np.ndarray:
    with opened_picture(io.BytesIO(file)) as picture:
        return np.asarray(picture.convert("RGB"))


def decode_mask(file: bytes, source: str) -> np.ndarray:
    """Decodes a mask file.

    Returns:
        Unsigned integers `(height, width)`: grey values, palette indices, or the first of several channels.

    Raises:
        BadSampleError: it cannot be decoded to its end, or is of a format that does not keep labels; names `source`.
    """
    if file.startswith(START_OF_JPEG):
        raise BadSampleError(
            "wrong_format",
            f"{source}: the mask is a JPEG. JPEG changes pixel values, so it cannot hold labels. Take another feature "
            "of the dataset, or another dataset.",
        )
    # Pillow reads 16 bits a channel of several as 8, without the lower ones.
    if _is_deep_png_of_several_channels(file):
        raise BadSampleError(
            "wrong_format",
            f"{source}: the mask is a PNG of 16 bits a channel and several channels. A mask has to be of one channel, "
            "or of 8 bits. Take another feature of the dataset, or another dataset.",
        )
    try:
        with opened_picture(io.BytesIO(file)) as picture:
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


def _is_deep_png_of_several_channels(file: bytes) -> bool:
    if not file.startswith(START_OF_PNG) or len(file) <= PLACE_OF_KIND:
        return False
    return file[PLACE_OF_BITS] == 16 and file[PLACE_OF_KIND] in KINDS_OF_SEVERAL_CHANNELS


def _ranges(values: np.ndarray) -> str:
    """Returns whole numbers in words, those in a row as a range: `0..20, 255`."""
    runs = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ", ".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs if len(run))


def _size_in_header(file: bytes) -> tuple[int, int] | None:
    """Returns `(height, width)`, or None where Pillow does not know the file; OpenCV may."""
    try:
        with opened_picture(io.BytesIO(file)) as picture:
            return picture.height, picture.width
    except Exception:
        return None


def _unreadable(source: str, what: str, error: Exception) -> BadSampleError:
    return BadSampleError(
        "unreadable", f"{source}: cannot be read as {what} ({error}). Prepare the dataset anew from whole files."
    )
