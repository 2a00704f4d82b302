"""The scene parsing masks of ADE20K for TensorFlow Datasets, whose own `scene_parse150` has others."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from segtrain.datasets.download import RemoteFile, has_right_content
from segtrain.datasets.tfds_preparation import image_and_mask_info

ARCHIVE = RemoteFile(
    name="ADEChallengeData2016.zip",
    addresses=("http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",),
    size=None,
    checksum="sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
)
FOLDERS = {"train": "training", "validation": "validation"}


class Ade20kSceneParsing(tfds.core.GeneratorBasedBuilder):
    """Images, masks and ids of the 20,210 training and 2000 validation images.

    `mask` holds 1..150 for the classes and 0 where there is none of them.
    Source: http://sceneparsing.csail.mit.edu/.

    Args:
        archive: ADEChallengeData2016.zip.
        **options: TFDS's, such as `data_dir`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Images and masks as published."}

    def __init__(self, archive: Path, **options: Any):
        self._archive = archive
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return image_and_mask_info(
            self, description="ADE20K, scene parsing: 150 classes.", homepage="http://sceneparsing.csail.mit.edu/"
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        _require_published(self._archive)
        return {split: self._generate_examples(self._archive, folder) for split, folder in FOLDERS.items()}

    def _generate_examples(self, archive: Path, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with zipfile.ZipFile(archive) as files:
            images = f"ADEChallengeData2016/images/{folder}/"
            for name in files.namelist():
                if name.startswith(images) and name.endswith(".jpg"):
                    image_id = name.removeprefix(images).removesuffix(".jpg")
                    mask = f"ADEChallengeData2016/annotations/{folder}/{image_id}.png"
                    yield image_id, {"image": files.read(name), "mask": files.read(mask), "image_id": image_id}


def _require_published(archive: Path) -> None:
    where = " and ".join(ARCHIVE.addresses)
    if not archive.is_file():
        raise ValueError(f"dataset.archive={archive}: there is no such file. It has to be {ARCHIVE.name}, {where}.")
    if not has_right_content(ARCHIVE, archive):
        raise ValueError(
            f"{archive} ({archive.stat().st_size:,} bytes) is another file than the published {ARCHIVE.name} "
            f"({ARCHIVE}). Fetch it again from {where}."
        )
