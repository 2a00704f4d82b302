"""TFDS's scene_parse150: ADE20K's images with masks of 100 kinds of things."""

from typing import Literal

import numpy as np

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.tfds_preparation import prepared_by_name
from segtrain.datasets.tfds_split import NO_LABEL, tfds_splits

VERSION = "1.0.0"
# By category id 1..100, as instanceInfo100_train.txt of https://github.com/CSAILVision/placeschallenge has them.
CLASS_NAMES = (
    "bed",
    "windowpane",
    "cabinet",
    "person",
    "door",
    "table",
    "curtain",
    "chair",
    "car",
    "painting",
    "sofa",
    "shelf",
    "mirror",
    "armchair",
    "seat",
    "fence",
    "desk",
    "wardrobe",
    "lamp",
    "bathtub",
    "railing",
    "cushion",
    "box",
    "column",
    "signboard",
    "chest of drawers",
    "counter",
    "sink",
    "fireplace",
    "refrigerator",
    "stairs",
    "case",
    "pool table",
    "pillow",
    "screen door",
    "bookcase",
    "coffee table",
    "toilet",
    "flower",
    "book",
    "bench",
    "countertop",
    "stove",
    "palm",
    "kitchen island",
    "computer",
    "swivel chair",
    "boat",
    "arcade machine",
    "bus",
    "towel",
    "light",
    "truck",
    "chandelier",
    "awning",
    "streetlight",
    "booth",
    "television receiver",
    "airplane",
    "apparel",
    "pole",
    "bannister",
    "ottoman",
    "bottle",
    "van",
    "ship",
    "fountain",
    "washer",
    "plaything",
    "stool",
    "barrel",
    "basket",
    "bag",
    "minibike",
    "oven",
    "ball",
    "food",
    "step",
    "trade name",
    "microwave",
    "pot",
    "animal",
    "bicycle",
    "dishwasher",
    "screen",
    "sculpture",
    "hood",
    "sconce",
    "vase",
    "traffic light",
    "tray",
    "ashcan",
    "fan",
    "plate",
    "monitor",
    "bulletin board",
    "radiator",
    "glass",
    "clock",
    "flag",
)
VOID = 255


def build_scene_parse150(
    *,
    other: Literal["class", "ignore"] = "class",
    manual_folder: str | None = None,
    resize: ResizeChoice = "stretch",
    cache: CacheChoice = "auto",
) -> SegmentationDataset:
    """Returns TFDS's `scene_parse150`: 20,210 training and 2000 validation images, 100 kinds of things and the rest.

    In spite of its name TFDS takes the masks of the instance challenge of 2017, three-channel images: red is the
    category 1..100 of a thing, green tells its instances apart, and 0 is all that is no such thing: wall, sky, floor,
    road. For the 150 classes of the scene parsing benchmark use `dataset=ade20k`.

    Class ids 0..99 are the categories 1..100, and 100 is the rest.
    Source: https://github.com/CSAILVision/placeschallenge/tree/master/instancesegmentation.

    Args:
        other: the rest is a class of its own, or void.
        manual_folder: folder with images.tar and annotations_instance.tar; None downloads them.
        resize: how images reach the network's size.
        cache: where decoded pixels are kept.

    Raises:
        ValueError: the archives are not there and cannot be downloaded, or are others than TFDS knows.
        OSError: the data folder cannot be written to.
    """
    builder = prepared_by_name(f"scene_parse150:{VERSION}", manual_folder)
    class_names = [*CLASS_NAMES, "other"] if other == "class" else CLASS_NAMES
    label_of = np.full(256, NO_LABEL)
    label_of[0] = len(CLASS_NAMES) if other == "class" else VOID
    label_of[1 : len(CLASS_NAMES) + 1] = range(len(CLASS_NAMES))
    return SegmentationDataset(
        name="scene_parse150",
        splits=tfds_splits(
            builder,
            {"train": "train", "val": "test"},  # TFDS calls the validation images so
            image_key="image",
            mask_key="annotation",
            name_key=None,
            label_of=label_of,
        ),
        class_names=class_names,
        ignore_label=VOID,
        palette=voc_palette(len(class_names)),
        resize=resize,
        cache=cache,
    )
