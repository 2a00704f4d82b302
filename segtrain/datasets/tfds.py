"""Any dataset of TensorFlow Datasets that has an image and a mask of it."""

import difflib
import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
import tensorflow_datasets as tfds
from annotated_types import Ge, Le

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset, spread_evenly
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.tfds_split import TfdsSplit, builder_by_name, feature_at, feature_paths, prepared

VOID = 255
MASKS_LOOKED_AT = 200
# What TFDS's datasets call the split to validate on, in the order of preference.
VALIDATION_SPLITS = ("validation", "val", "test")


def build_tfds(
    *,
    name: str,
    image_key: str = "image",
    mask_key: str,
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

    A mask is an image whose values are class ids; of several channels the first counts. Void pixels have label 255.
    Source: https://www.tensorflow.org/datasets/catalog/overview.

    Args:
        name: as in TFDS's catalogue: `dataset`, `dataset/config`, either with `:version` behind it.
        image_key: feature with the image; `a/b` or `a.b` is feature `b` in feature `a`.
        mask_key: feature with the mask.
        classes: names by class id; None takes 0 up to the highest id seen in a sample of the masks.
        ignore_label: value of void pixels in the masks; 255 is void in any case.
        label_offset: subtracted from the values to get class ids; what falls below 0 is void.
        train_split: TFDS's name of the split to train on, or a slice of it such as `train[:90%]`.
        val_split: the same for validation; None takes `validation`, `val` or `test` where there is one, else a fifth
            of the training split.
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
        "image_key": _image_feature(features, "image_key", image_key, [np.uint8]),
        "mask_key": _image_feature(features, "mask_key", mask_key, [np.uint8, np.uint16]),
    }
    prepared(builder, manual_folder)
    label_of = _labels_of_values(ignore_label, label_offset)
    chosen = _chosen_splits(list(builder.info.splits), train_split, val_split)
    splits = {
        split: _open_split(builder, option, place, label_of=label_of, **keys)
        for split, (option, place) in chosen.items()
    }
    _require_apart(builder, train_split=chosen["train"][1], val_split=chosen["val"][1])
    class_names = classes or _names_from_masks(splits["train"], name)
    return SegmentationDataset(
        name=re.split("[/:]", name)[0],
        splits=splits,
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


def _image_feature(features: tfds.features.FeaturesDict, option: str, key: str, dtypes: list[type]) -> str:
    """Returns the key of an image feature, with slashes."""
    images = {}
    for path_key, path in feature_paths(features).items():
        feature = feature_at(features, path)
        if isinstance(feature, tfds.features.Image) and feature.np_dtype in dtypes:
            images[path_key] = feature
    for spelling in (key, key.replace(".", "/")):
        if spelling in images:
            return spelling
    bits = " or ".join(str(8 * np.dtype(dtype).itemsize) for dtype in dtypes)
    there = ", ".join(f"{each} ({feature.shape[-1]} channels)" for each, feature in images.items())
    raise ValueError(
        f"dataset.{option}={key}: the dataset has no feature of that name that is an image of {bits} bits. "
        f"Those it has: {there or 'none'}. All its features: {', '.join(feature_paths(features))}."
    )


def _labels_of_values(ignore_label: int, label_offset: int) -> np.ndarray:
    """Returns the label of each value in a mask, uint8 `(256,)`."""
    values = np.arange(256)
    labels = np.where(values < label_offset, VOID, values - label_offset)
    labels[[ignore_label, VOID]] = VOID
    return labels.astype(np.uint8)


def _chosen_splits(there: list[str], train_split: str, val_split: str | None) -> dict[str, tuple[str, str]]:
    """Returns for each of our splits the option it comes from and TFDS's name of it."""
    if val_split is None:
        val_split = next((name for name in VALIDATION_SPLITS if name in there and name != train_split), None)
    if val_split is None:
        if train_split not in there:
            raise ValueError(
                f"dataset.train_split={train_split}: there is no split to validate on beside it. TFDS has: "
                f"{', '.join(there)}. Type dataset.val_split=SPLIT, which may be a slice such as {there[0]}[80%:]."
            )
        train_split, val_split = f"{train_split}[:80%]", f"{train_split}[80%:]"
    chosen = {"train": ("train_split", train_split), "val": ("val_split", val_split)}
    if "test" in there and "test" not in (re.split(r"[\[+]", each)[0] for each in (train_split, val_split)):
        chosen["test"] = ("test", "test")
    return chosen


def _open_split(builder: tfds.core.DatasetBuilder, option: str, place: str, **arguments) -> TfdsSplit:
    try:
        return TfdsSplit(builder, place, name_key=None, **arguments)
    except ValueError as error:
        there = ", ".join(f"{name} ({info.num_examples})" for name, info in builder.info.splits.items())
        raise ValueError(f"dataset.{option}={place}: {error} TFDS has: {there}.") from error


def _require_apart(builder: tfds.core.DatasetBuilder, *, train_split: str, val_split: str) -> None:
    def parts_of(place: str) -> list[tuple[str, int, int]]:
        parts = builder.info.splits[place].file_instructions
        return [(str(part.filename), part.skip, part.skip + part.take) for part in parts]

    for (file, start, end), (other_file, other_start, other_end) in itertools.product(
        parts_of(train_split), parts_of(val_split)
    ):
        if file == other_file and max(start, other_start) < min(end, other_end):
            raise ValueError(
                f"dataset.train_split={train_split} and dataset.val_split={val_split} have images in common. A score "
                "on images that were trained on says nothing; take slices apart, such as train[:80%] and train[80%:]."
            )


def _names_from_masks(split: TfdsSplit, name: str) -> list[str]:
    def highest_label(index: int) -> int:
        _, labels = split.read(index)
        return int(labels[labels != VOID].max(initial=0))

    with ThreadPoolExecutor() as pool:
        highest = max(pool.map(highest_label, spread_evenly(len(split), MASKS_LOOKED_AT)), default=0)
    if highest == 0:
        raise ValueError(
            f"The masks of {name} that were looked at hold no class but 0 (and void), so there is nothing to tell "
            "apart. Look at dataset.mask_key, dataset.label_offset and dataset.ignore_label."
        )
    return [f"class_{class_id}" for class_id in range(highest + 1)]
