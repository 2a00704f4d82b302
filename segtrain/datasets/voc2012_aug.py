"""Pascal VOC2012 with the training masks of the Semantic Boundaries Dataset (SBD)."""

from pathlib import Path

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.voc2012 import (
    CLASS_NAMES,
    PUBLISHED_COUNTS,
    labels_of_ids,
    prepared_voc2012,
    voc2012_split,
    warn_of_counts,
)
from segtrain.datasets.voc2012_builder import VOID

COUNTS = {"train": 10_582, "val": PUBLISHED_COUNTS["val"]}


def build_voc2012_aug(
    *,
    mask_folder: str,
    archive: str | None = None,
    resize: ResizeChoice = "stretch",
    cache: CacheChoice = "auto",
) -> SegmentationDataset:
    """Returns VOC2012 with 10,582 training images, and the official 1449 to validate.

    The training images are those of `train_aug.txt` (or `trainaug.txt`) in the folder of masks, beside it, or in the
    devkit's `ImageSets/Segmentation`; where there is no such list, all that have a mask and are not for validation.
    Prepared data is kept as that of `voc2012` is, for these masks and this archive.
    Source: Hariharan et al. 2011, Semantic contours from inverse detectors; images and validation masks are VOC's.

    Args:
        mask_folder: folder with a PNG of class ids for each training image, usually called SegmentationClassAug.
        archive: VOCtrainval_11-May-2012.tar or the unpacked VOCdevkit; None downloads it.
        resize: how images reach the network's size.
        cache: where decoded pixels are kept.

    Raises:
        ValueError: the masks or the archive are not there, incomplete or damaged, or an image for validation is in
            the training list.
        OSError: the archive could not be downloaded, or the disk is full.
    """
    folder = Path(mask_folder).expanduser().resolve()
    if not folder.is_dir():
        raise ValueError(
            f"dataset.mask_folder={mask_folder} has to be a folder of PNGs of class ids, usually called "
            "SegmentationClassAug. There is no such folder; segtrain cannot download it."
        )
    builder = prepared_voc2012(archive, folder)
    warn_of_counts("voc2012_aug", builder.info.metadata, COUNTS)
    return SegmentationDataset(
        name="voc2012_aug",
        splits={split: voc2012_split(builder, split, labels_of_ids()) for split in ("train", "val")},
        class_names=CLASS_NAMES,
        ignore_label=VOID,
        palette=voc_palette(len(CLASS_NAMES)),
        resize=resize,
        cache=cache,
    )
