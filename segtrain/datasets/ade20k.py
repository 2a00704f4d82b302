"""ADE20K scene parsing, the benchmark of 150 classes, through a TensorFlow Datasets builder of our own."""

from pathlib import Path

import numpy as np

from segtrain.datasets.ade20k_builder import ARCHIVE, Ade20kSceneParsing
from segtrain.datasets.data_folder import data_folder
from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset
from segtrain.datasets.download import downloaded
from segtrain.datasets.palette import voc_palette
from segtrain.datasets.tfds_preparation import prepared, quiet_tfds, storage
from segtrain.datasets.tfds_split import NO_LABEL, tfds_splits

# The first of the names that objectInfo150.txt of https://github.com/CSAILVision/sceneparsing has for each class.
CLASS_NAMES = (
    "wall",
    "building",
    "sky",
    "floor",
    "tree",
    "ceiling",
    "road",
    "bed",
    "windowpane",
    "grass",
    "cabinet",
    "sidewalk",
    "person",
    "earth",
    "door",
    "table",
    "mountain",
    "plant",
    "curtain",
    "chair",
    "car",
    "water",
    "painting",
    "sofa",
    "shelf",
    "house",
    "sea",
    "mirror",
    "rug",
    "field",
    "armchair",
    "seat",
    "fence",
    "desk",
    "rock",
    "wardrobe",
    "lamp",
    "bathtub",
    "railing",
    "cushion",
    "base",
    "box",
    "column",
    "signboard",
    "chest of drawers",
    "counter",
    "sand",
    "sink",
    "skyscraper",
    "fireplace",
    "refrigerator",
    "grandstand",
    "path",
    "stairs",
    "runway",
    "case",
    "pool table",
    "pillow",
    "screen door",
    "stairway",
    "river",
    "bridge",
    "bookcase",
    "blind",
    "coffee table",
    "toilet",
    "flower",
    "book",
    "hill",
    "bench",
    "countertop",
    "stove",
    "palm",
    "kitchen island",
    "computer",
    "swivel chair",
    "boat",
    "bar",
    "arcade machine",
    "hovel",
    "bus",
    "towel",
    "light",
    "truck",
    "tower",
    "chandelier",
    "awning",
    "streetlight",
    "booth",
    "television",
    "airplane",
    "dirt track",
    "apparel",
    "pole",
    "land",
    "bannister",
    "escalator",
    "ottoman",
    "bottle",
    "buffet",
    "poster",
    "stage",
    "van",
    "ship",
    "fountain",
    "conveyer belt",
    "canopy",
    "washer",
    "plaything",
    "swimming pool",
    "stool",
    "barrel",
    "basket",
    "waterfall",
    "tent",
    "bag",
    "minibike",
    "cradle",
    "oven",
    "ball",
    "food",
    "step",
    "tank",
    "trade name",
    "microwave",
    "pot",
    "animal",
    "bicycle",
    "lake",
    "dishwasher",
    "screen",
    "blanket",
    "sculpture",
    "hood",
    "sconce",
    "vase",
    "traffic light",
    "tray",
    "ashcan",
    "fan",
    "pier",
    "crt screen",
    "plate",
    "monitor",
    "bulletin board",
    "shower",
    "radiator",
    "glass",
    "clock",
    "flag",
)
VOID = 255


def build_ade20k(
    *,
    archive: str | None = None,
    resize: ResizeChoice = "stretch",
    cache: CacheChoice = "auto",
) -> SegmentationDataset:
    """Returns ADE20K as the scene parsing benchmark scores it: 20,210 training and 2000 validation images, 150 classes.

    Value 0 of a mask, "other", is void; 1..150 become 0..149.

    TFDS has a `scene_parse150` with the same images. Its masks are those of the instance challenge, which tell 100
    kinds of things apart and nothing of walls, sky or floor: see `segtrain.datasets.scene_parse150`.
    Source: Zhou et al., "Scene Parsing through ADE20K Dataset", CVPR 2017, http://sceneparsing.csail.mit.edu/.

    Args:
        archive: ADEChallengeData2016.zip; None downloads it (about 1 GB). No longer needed when the data has been
            prepared.
        resize: how images reach the network's size.
        cache: where decoded pixels are kept.

    Raises:
        ValueError: the archive is not there, or another than the published one.
        OSError: it could not be downloaded, or the data folder cannot be written to.
    """
    downloads = data_folder() / "downloads"
    path = downloads / ARCHIVE.name if archive is None else Path(archive).expanduser()
    with quiet_tfds():
        builder = Ade20kSceneParsing(path, **storage())
    if archive is None and not builder.is_prepared():
        downloaded(ARCHIVE, downloads, option="dataset.archive")
    label_of = np.full(256, NO_LABEL)
    label_of[0], label_of[1 : len(CLASS_NAMES) + 1] = VOID, range(len(CLASS_NAMES))
    return SegmentationDataset(
        name="ade20k",
        splits=tfds_splits(
            prepared(builder),
            {"train": "train", "val": "validation"},
            image_key="image",
            mask_key="mask",
            name_key="image_id",
            label_of=label_of,
        ),
        class_names=CLASS_NAMES,
        ignore_label=VOID,
        palette=voc_palette(len(CLASS_NAMES)),
        resize=resize,
        cache=cache,
    )
