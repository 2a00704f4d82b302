"""Oxford-IIIT Pet: cats and dogs with trimaps, through TensorFlow Datasets."""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Lt

from segtrain.datasets.dataset import CacheChoice, ResizeChoice, SegmentationDataset
from segtrain.datasets.tfds_preparation import prepared_by_name
from segtrain.datasets.tfds_split import NO_LABEL, tfds_splits

VERSION = "4.0.0"
CLASS_NAMES = ("pet", "background", "border")
PALETTE = ((192, 96, 32), (0, 0, 0), (224, 224, 192))
VOID = 255


def build_oxford_iiit_pet(
    *,
    border: Literal["class", "ignore"] = "class",
    val_share: Annotated[float, Gt(0), Lt(1)] | None = None,
    manual_folder: str | None = None,
    resize: ResizeChoice = "stretch",
    cache: CacheChoice = "auto",
) -> SegmentationDataset:
    """Returns Oxford-IIIT Pet: 3680 training and 3669 test images of varying size, with trimaps of the pet.

    A trimap marks the pet 1, the background 2 and the rim between them, which nobody classified, 3. They become 0, 1
    and 2. Published scores are mostly those of the test images, so these validate unless a share of the training
    images is set apart.

    Some files of this set are no JPEGs although they are called so, or damaged ones. TFDS writes twelve of them anew;
    whatever is left is read as `segtrain.datasets.tfds_split.decode_image` says.
    Source: Parkhi et al., "Cats and Dogs", CVPR 2012, https://www.robots.ox.ac.uk/~vgg/data/pets/.

    Args:
        border: the rim is a class of its own, or void.
        val_share: share of the training images to validate on, which leaves the test images as split `test`; None
            validates on the test images.
        manual_folder: folder with images.tar.gz and annotations.tar.gz; None downloads them.
        resize: how images reach the network's size.
        cache: where decoded pixels are kept.

    Raises:
        ValueError: the archives are not there and cannot be downloaded, or are others than TFDS knows.
        OSError: the data folder cannot be written to.
    """
    builder = prepared_by_name(f"oxford_iiit_pet:{VERSION}", manual_folder)
    if val_share is None:
        places = {"train": "train", "val": "test"}
    else:
        num_train = builder.info.splits["train"].num_examples
        num_val = min(max(round(val_share * num_train), 1), num_train - 1)
        # TFDS has mixed the images by a hash of their names, so the first ones are no special ones.
        places = {"train": f"train[{num_val}:]", "val": f"train[:{num_val}]", "test": "test"}
    label_of = np.full(256, NO_LABEL)
    label_of[1:4] = 0, 1, 2 if border == "class" else VOID
    num_classes = 3 if border == "class" else 2
    return SegmentationDataset(
        name="oxford_iiit_pet",
        splits=tfds_splits(
            builder,
            places,
            image_key="image",
            mask_key="segmentation_mask",
            name_key="file_name",
            label_of=label_of,
            takes_cut_images=True,
        ),
        class_names=CLASS_NAMES[:num_classes],
        ignore_label=VOID,
        palette=PALETTE[:num_classes],
        resize=resize,
        cache=cache,
    )
