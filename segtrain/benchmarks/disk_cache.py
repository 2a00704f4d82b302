"""Reading decoded samples back from the disk cache, against decoding their PNG files again.

Both files are in the system's memory by then: what is compared is the work of getting at the pixels, not two disks.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from segtrain.benchmarks.alternation import Figure, ratio, seconds_of, take_turns
from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.file_pairs import FilePairs
from segtrain.datasets.shapes import build_shapes
from segtrain.pipeline.samples import Samples

IMAGE_SIZE = (360, 480)
NUM_IMAGES = 32


def measure_disk_cache(rounds: int) -> dict[str, Figure]:
    """Returns `disk_cache_over_png`: images per second of the one over those of the other."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = _write_png_files(Path(folder))
        readers = {cache: _reader(dataset, cache) for cache in ("disk", "none")}
        return {"disk_cache_over_png": ratio(take_turns(readers, rounds), "disk", "none")}


def _write_png_files(folder: Path) -> SegmentationDataset:
    generated = build_shapes(num_train=NUM_IMAGES, num_val=1, height=IMAGE_SIZE[0], width=IMAGE_SIZE[1])
    names = [(f"{index}.png", f"{index}_mask.png") for index in range(NUM_IMAGES)]
    for index, (image_name, mask_name) in enumerate(names):
        image, labels = generated.read("train", index)
        Image.fromarray(image).save(folder / image_name)
        Image.fromarray(labels).save(folder / mask_name)
    return dataclasses.replace(generated, splits={"train": FilePairs(folder, folder, names)})


def _reader(dataset: SegmentationDataset, cache: str) -> Callable[[], float]:
    samples = Samples(dataclasses.replace(dataset, cache=cache), "train", image_size=IMAGE_SIZE)

    def read_all() -> None:
        for index in range(NUM_IMAGES):
            samples.at_network_size(index)

    read_all()  # fills the cache
    return lambda: NUM_IMAGES / seconds_of(read_all, 1)
