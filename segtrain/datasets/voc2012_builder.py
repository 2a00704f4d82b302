"""Pascal VOC2012 with its segmentation masks, for TensorFlow Datasets, whose own `voc/2012` has none."""

import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from segtrain.datasets.image_files import opened_picture
from segtrain.datasets.tfds_preparation import image_and_mask_info
from segtrain.datasets.voc2012_files import DataFiles, FolderFiles, TarFiles

ARCHIVE_NAME = "VOCtrainval_11-May-2012.tar"
DEVKIT = "VOCdevkit/VOC2012"
NUM_CLASSES = 21
VOID = 255
# Folders of the devkit, and the list that masks from elsewhere come with, by the names that are in use.
IMAGES, MASKS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"
AUGMENTED_LISTS = ("train_aug.txt", "trainaug.txt")


@dataclasses.dataclass(eq=False)
class Voc2012Config(tfds.core.BuilderConfig):
    """Which files are prepared.

    TFDS keeps what it has prepared in a folder that has the config's name. So that two archives (that of a test and
    the published one) are never taken for each other, the name has to be another for other files: see `config_of`.

    Attributes:
        devkit: the archive, or the unpacked folder; TFDS's `manual_dir` when None.
        masks: folder with masks for training in place of the devkit's.
    """

    devkit: Path | None = None
    masks: Path | None = None


class Voc2012Segmentation(tfds.core.GeneratorBasedBuilder):
    """Images, masks and ids of the 1464 training and 1449 validation images of VOC2012, in the order of the lists.

    `mask` holds the class ids 0..20 and 255 where nobody knows, and `image` the published JPEG. `info.metadata` has
    the ids of each split, so that a choice needs no look into the data.
    Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Masks as class ids, images as published."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Put {ARCHIVE_NAME} or the folder VOCdevkit there."

    def _info(self) -> tfds.core.DatasetInfo:
        return image_and_mask_info(
            self,
            description="Pascal VOC2012, semantic segmentation: 20 classes of objects, background, and void.",
            homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        config = self.builder_config or Voc2012Config(name="manual")
        devkit = open_devkit(config.devkit or Path(dl_manager.manual_dir))
        ids = {split: read_list(devkit, f"{LISTS}/{split}.txt") for split in ("train", "val")}
        sources = {"train": (devkit, MASKS), "val": (devkit, MASKS)}
        if config.masks:
            sources["train"] = FolderFiles(config.masks.parent), config.masks.name
            ids["train"] = _augmented_ids(config.masks, devkit, without=ids["val"])
        _require_disjoint(ids["train"], ids["val"])
        for split in ids:
            _require_complete(devkit, *sources[split], ids[split])
        self.info.metadata.update(ids)
        return {split: self._generate_examples(devkit, *sources[split], ids[split]) for split in ids}

    def _generate_examples(
        self, devkit: DataFiles, mask_files: DataFiles, mask_folder: str, ids: Sequence[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for place, image_id in enumerate(ids):
            image_name, mask_name = f"{IMAGES}/{image_id}.jpg", f"{mask_folder}/{image_id}.png"
            image, mask = devkit.read(image_name), read_class_ids(mask_files, mask_name)
            picture = _decoded(image, devkit.place(image_name))
            if picture.size != mask.size:
                raise ValueError(
                    f"{mask_files.place(mask_name)}: the mask is {mask.height}x{mask.width} (height x width) but its "
                    f"image is {picture.height}x{picture.width}. It is damaged or from another set."
                )
            yield place, {"image": image, "mask": _as_png(mask), "image_id": image_id}


def config_of(devkit: Path, masks: Path | None = None, *, is_published: bool = False) -> Voc2012Config:
    """Returns the config for those files; its name changes with their names, sizes, times and, for a tar, samples.

    Args:
        devkit: the archive, or the unpacked folder.
        masks: folder with masks for training in place of the devkit's.
        is_published: the archive is the published one by its checksum; it need not be there any more.

    Raises:
        ValueError: there is no devkit at that path.
    """
    files = "published" if is_published else f"files_{open_devkit(devkit).fingerprint((LISTS, IMAGES, MASKS))[:16]}"
    if masks:
        files += f"_masks_{FolderFiles(masks.parent).fingerprint((masks.name, *AUGMENTED_LISTS))[:16]}"
    return Voc2012Config(name=files, devkit=devkit, masks=masks)


def open_devkit(path: Path) -> DataFiles:
    """Returns the devkit's files.

    Args:
        path: the archive, the folder `VOC2012`, `VOCdevkit`, or one that has `VOCdevkit` or the archive in it.

    Raises:
        ValueError: it is none of them.
    """
    if path.is_file():
        return TarFiles(path, DEVKIT)
    for folder in (path, path / "VOC2012", path / DEVKIT):
        if any((folder / part).is_dir() for part in (IMAGES, MASKS, LISTS)):
            return FolderFiles(folder)
    if (path / ARCHIVE_NAME).is_file():
        return TarFiles(path / ARCHIVE_NAME, DEVKIT)
    what = f"is no folder with {DEVKIT} in it" if path.is_dir() else "does not exist"
    raise ValueError(f"{path} {what}. It has to be {ARCHIVE_NAME} or the folder VOCdevkit that is unpacked from it.")


def read_list(files: DataFiles, name: str) -> list[str]:
    """Returns the image ids of a list, in its order, each once.

    A line is an id, or begins with the path of an image as DeepLab's lists do.

    Raises:
        ValueError: there is no such list, or it is empty.
    """
    if name not in files:
        raise ValueError(
            f"{files.place(name)} is missing. The archive or folder has to be whole: {LISTS} with train.txt and "
            f"val.txt, {IMAGES} and {MASKS}."
        )
    fields = (line.split() for line in files.read(name).decode("utf-8", errors="replace").splitlines())
    ids = [first_of.rpartition("/")[2].removesuffix(".jpg") for first_of, *_ in filter(None, fields)]
    if not ids:
        raise ValueError(f"{files.place(name)} lists no image.")
    return list(dict.fromkeys(ids))


def read_class_ids(files: DataFiles, name: str) -> Image.Image:
    """Returns a mask as a grey picture of class ids, 0..20 and 255. Of a palette picture, these are the indices.

    Raises:
        ValueError: it is damaged, holds colours and not ids, or an id that VOC does not have; names the file.
    """
    picture = _decoded(files.read(name), files.place(name))
    if picture.mode not in ("P", "L"):
        raise ValueError(
            f"{files.place(name)}: a mask has to hold one class id per pixel (a palette or grey PNG, Pillow mode P or "
            f"L). Received: mode {picture.mode}, which holds colours."
        )
    ids = np.array(picture)
    unknown = np.unique(ids[(ids >= NUM_CLASSES) & (ids != VOID)])
    if unknown.size:
        raise ValueError(
            f"{files.place(name)}: label {unknown[0]} is none of VOC's: 0..{NUM_CLASSES - 1} (classes) and {VOID} "
            "(void). Masks of instances (SegmentationObject) are not masks of classes (SegmentationClass)."
        )
    return Image.fromarray(ids)


def _decoded(content: bytes, place: str) -> Image.Image:
    """Returns the whole picture, so that a damaged file is told now and not after hours of training."""
    try:
        picture = opened_picture(io.BytesIO(content))
        picture.load()
    except Exception as error:  # Pillow raises what its decoders raise, SyntaxError among it
        raise ValueError(f"{place}: cannot be read as an image ({error}). Download or copy it again.") from error
    return picture


def _as_png(picture: Image.Image) -> bytes:
    # TFDS takes bytes as they are; a palette would reach those who read this dataset with TensorFlow as colours.
    content = io.BytesIO()
    picture.save(content, format="png")
    return content.getvalue()


def _augmented_ids(masks: Path, devkit: DataFiles, without: Sequence[str]) -> list[str]:
    """Returns the ids of the list that is in or beside `masks` or in the devkit, else of all masks but `without`."""
    for files, folder in ((FolderFiles(masks), ""), (FolderFiles(masks.parent), ""), (devkit, f"{LISTS}/")):
        for name in AUGMENTED_LISTS:
            if f"{folder}{name}" in files:
                return read_list(files, f"{folder}{name}")
    ids = [path.stem for path in sorted(masks.glob("[!.]*.png"))]
    if not ids:
        raise ValueError(
            f"{masks} has no masks: PNGs of class ids that have the images' names, as in SegmentationClassAug. "
            "SBD's own .mat files are not read."
        )
    return sorted(set(ids) - set(without))


def _require_disjoint(train: Sequence[str], val: Sequence[str]) -> None:
    both = sorted(set(train) & set(val))
    if both:
        raise ValueError(
            f"{both[0]} is for training and for validation ({len(both)} such images in all). A score on images that "
            "were trained on says nothing; take them out of the training list."
        )


def _require_complete(devkit: DataFiles, mask_files: DataFiles, mask_folder: str, ids: Sequence[str]) -> None:
    wanted = [(devkit, f"{IMAGES}/{image_id}.jpg") for image_id in ids]
    wanted += [(mask_files, f"{mask_folder}/{image_id}.png") for image_id in ids]
    missing = [files.place(name) for files, name in wanted if name not in files]
    if missing:
        raise ValueError(
            f"{missing[0]} is listed and missing ({len(missing)} of the {len(wanted)} images and masks of that list). "
            "The archive or folder is incomplete: download, copy or unpack it again."
        )
