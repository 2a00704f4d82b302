"""The scene parsing masks of ADE20K for TensorFlow Datasets, whose own `scene_parse150` has others."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from segtrain.datasets.tfds_preparation import answers

ARCHIVE_NAME = "ADEChallengeData2016.zip"
ADDRESS = f"http://data.csail.mit.edu/places/ADEchallenge/{ARCHIVE_NAME}"
SHA1 = "219e1696abb36c8ba3a3afe7fb2f4b4606a897c7"
FOLDERS = {"train": "training", "validation": "validation"}


class Ade20kSceneParsing(tfds.core.GeneratorBasedBuilder):
    """Images, masks and ids of the 20,210 training and 2000 validation images.

    `mask` holds 1..150 for the classes and 0 where there is none of them.
    Source: http://sceneparsing.csail.mit.edu/.

    Args:
        archive: ADEChallengeData2016.zip; None downloads it.
        **options: TFDS's, such as `data_dir`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Images and masks as published."}

    def __init__(self, archive: str | None = None, **options: Any):
        self._archive = archive
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="ADE20K, scene parsing: 150 classes.",
            homepage="http://sceneparsing.csail.mit.edu/",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                    "image_id": tfds.features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        if self._archive is None and not answers(ADDRESS):  # TFDS tries for minutes before it gives up
            raise ValueError(
                f"ade20k cannot be downloaded: no answer from {ADDRESS}. Fetch that file where there is a network "
                f"(sha1 {SHA1}) and type dataset.archive={ARCHIVE_NAME}."
            )
        archive = Path(self._archive).expanduser() if self._archive else Path(dl_manager.download(ADDRESS))
        _require_published(archive)
        return {split: self._generate_examples(archive, folder) for split, folder in FOLDERS.items()}

    def _generate_examples(self, archive: Path, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with zipfile.ZipFile(archive) as files:
            images = f"ADEChallengeData2016/images/{folder}/"
            for name in files.namelist():
                if name.startswith(images) and name.endswith(".jpg"):
                    image_id = name.removeprefix(images).removesuffix(".jpg")
                    mask = f"ADEChallengeData2016/annotations/{folder}/{image_id}.png"
                    yield image_id, {"image": files.read(name), "mask": files.read(mask), "image_id": image_id}


def _require_published(archive: Path) -> None:
    if not archive.is_file():
        raise ValueError(f"dataset.archive={archive}: there is no such file. It has to be {ARCHIVE_NAME}, {ADDRESS}.")
    with archive.open("rb") as content:
        sha1 = hashlib.file_digest(content, "sha1").hexdigest()
    if sha1 != SHA1:
        raise ValueError(
            f"{archive} is another file than the published {ARCHIVE_NAME}: its sha1 is {sha1}, not {SHA1}. Fetch it "
            f"again from {ADDRESS}."
        )
