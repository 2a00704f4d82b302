"""Any dataset of TensorFlow Datasets that has an image and a mask whose values are class ids, or 0 and 255."""

import difflib
import itertools
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import numpy as np
import tensorflow_datasets as tfds
from annotated_types import Ge, Le

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset, spread_evenly
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.tfds_preparation import builder_by_name, prepared
from segtrain.datasets.tfds_split import NO_LABEL, TfdsSplit, feature_at, feature_paths, tfds_splits
from segtrain.machine import usable_cores

VOID = 255
MASKS_LOOKED_AT = 200
ADVICE = (
    "Name all classes in dataset.classes, or set dataset.ignore_label or dataset.label_offset to what the masks hold; "
    "dataset.mask=binary takes 0 and 255."
)
# What TFDS's datasets call the split to validate on, in the order of preference.
VALIDATION_SPLITS = ("validation", "val", "test")


def build_tfds(
    *,
    name: str,
    image_key: str = "image",
    mask_key: str,
    name_key: str | None = None,
    mask: Literal["ids", "binary"] = "ids",
    classes: list[str] | None = None,
    ignore_label: Annotated[int, Ge(0), Le(255)] = 255,
    label_offset: Annotated[int, Ge(0), Le(254)] = 0,
    train_split: str = "train",
    val_split: str | None = None,
    manual_folder: str | None = None,
    resize: ResizeChoice = "stretch",
    cache: CacheChoice = "auto",
) -> SegmentationDataset:
    """Returns a dataset of TFDS, downloaded and prepared when it is not.

    A mask is an image whose values are class ids, or 0 and 255; of several channels the first counts. Void pixels have
    label 255. Masks of colours are not read: write them to files and use `dataset=folder`.
    Source: https://www.tensorflow.org/datasets/catalog/overview.

    Args:
        name: as in TFDS's catalogue: `dataset`, `dataset/config`, either with `:version` behind it.
        image_key: feature with the image; `a/b` or `a.b` is feature `b` in feature `a`.
        mask_key: feature with the mask.
        name_key: feature with a text that names the sample in messages and pictures, another in each; None takes its
            number in the split.
        mask: `ids`, or `binary`: 0 is the background and 255 the object.
        classes: names by class id; None takes 0 up to the highest id seen in a sample of the masks, or background and
            object where they are binary.
        ignore_label: value of void pixels in the masks; 255 is void in any case, unless they are binary.
        label_offset: subtracted from the values to get class ids; what falls below 0 is void.
        train_split: TFDS's name of the split to train on, or a slice of it such as `train[:90%]`.
        val_split: the same for validation; None takes `validation`, `val` or `test` where there is one, else a fifth
            of the training split. A split `test` is kept for `segtrain evaluate` where no part of it is used so.
        manual_folder: folder with files that were fetched by hand, under the names TFDS expects.
        resize: how images reach the network's size.
        cache: where decoded pixels are kept.

    Raises:
        ValueError: TFDS has no such dataset, config or split, or the dataset no such feature; its files are not there
            and cannot be downloaded.
        OSError: the data folder cannot be written to.
    """
    _require_known(name)
    try:
        builder = builder_by_name(name)
    except (ValueError, AssertionError) as error:  # a version that is not there
        reason = re.sub(r'^Failed to construct dataset .*?}": ', "", " ".join(str(error).split()))
        raise ValueError(f"dataset.name={name}: {reason}") from error
    features = builder.info.features
    keys = {
        "image_key": _image_feature(features, "image_key", image_key, _holds_image, "an image of 8 bits"),
        "mask_key": _image_feature(
            features, "mask_key", mask_key, _holds_labels, "an image of 8 bits, or of 16 bits and one channel"
        ),
        "name_key": None if name_key is None else _text_feature(features, name_key),
    }
    if mask == "binary" and label_offset:
        raise ValueError(f"dataset.label_offset={label_offset}: dataset.mask=binary has no ids to subtract it from.")
    label_of = _labels_of_values(mask, ignore_label, label_offset)
    prepared(builder, manual_folder)
    places = _chosen_splits(builder, train_split, val_split)
    train = TfdsSplit(builder, places["train"], label_of=label_of, **keys)
    if classes is not None:
        class_names = classes
    elif mask == "binary":
        class_names = ["background", "object"]
    else:
        class_names = _names_from_masks(train, name)
    label_of[(label_of >= len(class_names)) & (label_of != VOID)] = NO_LABEL
    return SegmentationDataset(
        name=re.split("[/:]", name)[0],
        splits=tfds_splits(builder, places, label_of=label_of, advice=ADVICE, **keys),
        class_names=class_names,
        ignore_label=VOID,
        palette=voc_palette(len(class_names)),
        resize=resize,
        cache=cache,
    )


def _require_known(name: str) -> None:
    match = re.fullmatch(r"(\w+)(?:/([^:/]+))?(?::[\d.*]+)?", name)
    if not match:
        raise ValueError(f"dataset.name={name} has to be dataset, dataset/config or one of them with :version.")
    dataset, config = match.groups()
    known = tfds.list_builders(with_community_datasets=False)
    if dataset not in known:
        nearest = difflib.get_close_matches(dataset.lower(), known, n=5, cutoff=0.5)
        alike = f" Names like it: {', '.join(nearest)}." if nearest else ""
        raise ValueError(
            f"dataset.name={name}: TFDS {tfds.__version__} has no dataset '{dataset}'.{alike} All names: "
            "https://www.tensorflow.org/datasets/catalog/overview."
        )
    configs = [each.name for each in tfds.builder_cls(dataset).BUILDER_CONFIGS]
    if config is None and len(configs) > 1:
        raise ValueError(
            f"dataset.name={name}: this dataset comes in several configs. Type dataset.name={dataset}/CONFIG with one "
            f"of: {', '.join(configs)}."
        )
    if config is not None and config not in configs:
        there = f"Its configs: {', '.join(configs)}." if configs else f"It has none; type dataset.name={dataset}."
        raise ValueError(f"dataset.name={name}: {dataset} has no config '{config}'. {there}")


def _holds_image(feature: tfds.features.Image) -> bool:
    return feature.np_dtype == np.uint8


def _holds_labels(feature: tfds.features.Image) -> bool:
    # Of 16 bits and several channels Pillow reads the upper 8 bits alone.
    return feature.np_dtype == np.uint8 or (feature.np_dtype == np.uint16 and feature.shape[-1] == 1)


def _image_feature(
    features: tfds.features.FeaturesDict,
    option: str,
    key: str,
    is_fit: Callable[[tfds.features.Image], bool],
    required: str,
) -> str:
    """Returns the key of an image feature, with slashes."""
    images = {}
    for path_key, path in feature_paths(features).items():
        feature = feature_at(features, path)
        if isinstance(feature, tfds.features.Image) and is_fit(feature):
            images[path_key] = feature
    for spelling in (key, key.replace(".", "/")):
        if spelling in images:
            return spelling
    there = ", ".join(f"{each} ({feature.shape[-1]} channels)" for each, feature in images.items())
    raise ValueError(
        f"dataset.{option}={key}: the dataset has no feature of that name that is {required}. "
        f"Those it has: {there or 'none'}. All its features: {', '.join(feature_paths(features))}."
    )


def _text_feature(features: tfds.features.FeaturesDict, key: str) -> str:
    """Returns the key of a text feature, with slashes."""
    texts = [
        each
        for each, path in feature_paths(features).items()
        if isinstance(feature_at(features, path), tfds.features.Text)
    ]
    for spelling in (key, key.replace(".", "/")):
        if spelling in texts:
            return spelling
    raise ValueError(
        f"dataset.name_key={key}: the dataset has no feature of that name that is a text. Those it has: "
        f"{', '.join(texts) or 'none'}. dataset.name_key=null takes the samples' numbers."
    )


def _labels_of_values(mask: str, ignore_label: int, label_offset: int) -> np.ndarray:
    """Returns the label of each value in a mask, `(256,)`, as `TfdsSplit` takes them."""
    values = np.arange(256)
    if mask == "binary":
        labels = np.full(256, NO_LABEL)
        labels[ignore_label] = VOID
        labels[[0, 255]] = 0, 1
        return labels
    labels = np.where(values < label_offset, VOID, values - label_offset)
    labels[[ignore_label, VOID]] = VOID
    return labels


def _chosen_splits(builder: tfds.core.DatasetBuilder, train_split: str, val_split: str | None) -> dict[str, str]:
    """Returns TFDS's name of each of our splits, no two of which have images in common."""
    there = list(builder.info.splits)
    if val_split is None:
        val_split = next((name for name in VALIDATION_SPLITS if name in there and name != train_split), None)
    if val_split is None:
        if train_split not in there:
            raise ValueError(
                f"dataset.train_split={train_split}: there is no split to validate on beside it. TFDS has: "
                f"{', '.join(there)}. Type dataset.val_split=SPLIT, which may be a slice such as {there[0]}[80%:]."
            )
        train_split, val_split = f"{train_split}[:80%]", f"{train_split}[80%:]"
    _require_split(builder, "train_split", train_split)
    _require_split(builder, "val_split", val_split)
    if _have_images_in_common(builder, train_split, val_split):
        raise ValueError(
            f"dataset.train_split={train_split} and dataset.val_split={val_split} have images in common. A score on "
            "images that were trained on says nothing; take slices apart, such as train[:80%] and train[80%:]."
        )
    places = {"train": train_split, "val": val_split}
    if "test" in there and not any(_have_images_in_common(builder, "test", place) for place in places.values()):
        places["test"] = "test"
    return places


def _require_split(builder: tfds.core.DatasetBuilder, option: str, place: str) -> None:
    try:
        builder.info.splits[place]
    except (ValueError, KeyError) as error:
        there = ", ".join(f"{name} ({info.num_examples})" for name, info in builder.info.splits.items())
        reason = error.args[0] if error.args else error
        raise ValueError(f"dataset.{option}={place}: {reason} TFDS has: {there}.") from error


def _have_images_in_common(builder: tfds.core.DatasetBuilder, place: str, other_place: str) -> bool:
    def parts_of(place: str) -> list[tuple[str, int, int]]:
        parts = builder.info.splits[place].file_instructions
        return [(str(part.filename), part.skip, part.skip + part.take) for part in parts]

    return any(
        file == other_file and max(start, other_start) < min(end, other_end)
        for (file, start, end), (other_file, other_start, other_end) in itertools.product(
            parts_of(place), parts_of(other_place)
        )
    )


def _names_from_masks(split: TfdsSplit, name: str) -> list[str]:
    def highest_label(index: int) -> int:
        labels = split.read_labels(index)
        return int(labels[labels != VOID].max(initial=0))

    with ThreadPoolExecutor(usable_cores() + 4) as pool:
        highest = max(pool.map(highest_label, spread_evenly(len(split), MASKS_LOOKED_AT)), default=0)
    if highest == 0:
        raise ValueError(
            f"The masks of {name} that were looked at hold no class but 0 (and void), so there is nothing to tell "
            "apart. Type dataset.mask=binary where they hold 0 and 255; else look at dataset.mask_key, "
            "dataset.label_offset and dataset.ignore_label."
        )
    return [f"class_{class_id}" for class_id in range(highest + 1)]
