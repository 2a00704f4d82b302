"""Cityscapes, finely annotated street scenes, through TensorFlow Datasets."""

import numpy as np

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset
from segtrain.datasets.tfds_preparation import builder_by_name, prepared
from segtrain.datasets.tfds_split import tfds_splits

NAME = "cityscapes/semantic_segmentation:1.0.0"
ARCHIVES = ("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip")
# Class names, the ids that stand for them in the label files, and their colours. All other ids are void.
CLASSES = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
VOID = 255


def build_cityscapes(
    *,
    manual_folder: str | None = None,
    resize: ResizeChoice = "stretch",
    cache: CacheChoice = "auto",
) -> SegmentationDataset:
    """Returns Cityscapes: 2975 training and 500 validation images of 1024x2048, the 19 classes that are scored.

    The authors ask for a registration, so the archives are fetched by hand. The labels of the test images are theirs
    alone, so there is no split `test`.
    Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016,
    https://www.cityscapes-dataset.com; ids and colours: https://github.com/mcordts/cityscapesScripts.

    Args:
        manual_folder: folder with leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip as they were fetched; no
            longer needed when the data has been prepared.
        resize: how images reach the network's size.
        cache: where decoded pixels are kept.

    Raises:
        ValueError: the archives are not there.
        OSError: the data folder cannot be written to.
    """
    builder = prepared(builder_by_name(NAME), manual_folder, by_hand=ARCHIVES)
    names, ids, palette = zip(*CLASSES, strict=True)
    label_of = np.full(256, VOID)
    label_of[list(ids)] = range(len(ids))
    return SegmentationDataset(
        name="cityscapes",
        splits=tfds_splits(
            builder,
            {"train": "train", "val": "validation"},
            image_key="image_left",
            mask_key="segmentation_label",
            name_key="image_id",
            label_of=label_of,
        ),
        class_names=names,
        ignore_label=VOID,
        palette=palette,
        resize=resize,
        cache=cache,
    )
