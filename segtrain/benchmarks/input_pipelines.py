"""Images a second of our pipeline, of the usual tf.data one and of PyTorch's, with the same transforms.

The augmentation is that of a public U-Net recipe: rotation within 30 degrees, horizontal flip, and a random part of a
360x480 image brought to 224x224. The images are in memory from the start, so augmentation and batching are what is
timed. Each pipeline has a process of its own, `python -m segtrain.benchmarks.input_pipelines NAME`, which uses no GPU.
OpenCV's own threads are off in all of them, which speeds each one up.
"""

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

import albumentations
import numpy as np
import tensorflow as tf

from segtrain.augmentations.augmentation import Augmentation
from segtrain.augmentations.rotate_flip_crop import RotateFlipCrop
from segtrain.benchmarks.alternation import NOT_MEASURED, Figure, ratio, seconds_of, take_turns
from segtrain.benchmarks.other_process import OtherProcess, answer_turns
from segtrain.datasets.dataset import SegmentationDataset
from segtrain.datasets.shapes import build_shapes
from segtrain.machine import usable_cores
from segtrain.pipeline.batches import training_batches
from segtrain.pipeline.samples import Samples

IMAGE_SIZE = (360, 480)
NETWORK_SIZE = (224, 224)
NUM_IMAGES = 64
BATCH_SIZE = 32
# Batches that a pipeline has ready when its turn comes are not its speed. tf.data's tuning makes room for many.
UNTIMED_BATCHES = 12 + 2 * usable_cores()
TIMED_BATCHES = 24


def measure_input_pipelines(rounds: int, log: IO[str]) -> dict[str, Figure]:
    """Returns images per second as ratios: `pipeline_over_reference`, `pipeline_over_torch` where it is installed.

    The reference makes a `tf.numpy_function` call an image; torch is a DataLoader with two workers, which deliver float
    images and int64 labels, or (`pipeline_over_torch_uint8`) bytes that are converted a batch at a time, as ours are.
    Beside them, what `augmentation=rotate_flip_crop` reaches, which does the same in one warp:
    `fused_pipeline_over_reference`.
    """
    names = ["segtrain", "fused", "reference", *(["torch", "torch_uint8"] if importlib.util.find_spec("torch") else [])]
    with contextlib.ExitStack() as stack:
        pipelines = {
            name: stack.enter_context(contextlib.closing(OtherProcess(__name__, name, log=log))) for name in names
        }
        figures = take_turns(pipelines, rounds)
    return {
        "pipeline_over_reference": ratio(figures, "segtrain", "reference"),
        **{
            f"pipeline_over_{name}": ratio(figures, "segtrain", name) if name in figures else NOT_MEASURED
            for name in ("torch", "torch_uint8")
        },
        "fused_pipeline_over_reference": ratio(figures, "fused", "reference"),
    }


def transforms() -> dict[str, Any]:
    """Returns the albumentations transforms, by name."""
    return {
        "rotate": albumentations.Rotate(limit=30, fill_mask=255, p=1.0),
        "flip": albumentations.HorizontalFlip(p=0.5),
        "crop": albumentations.RandomResizedCrop(size=NETWORK_SIZE, scale=(0.7, 1.0), p=1.0),
    }


def _rate_of(batches: Iterator[Any]) -> Callable[[], float]:
    draw = functools.partial(next, batches)
    return lambda: TIMED_BATCHES * BATCH_SIZE / seconds_of(draw, TIMED_BATCHES, untimed=UNTIMED_BATCHES)


def _segtrain_batches(dataset: SegmentationDataset) -> Iterator[Any]:
    return _batches_of_ours(dataset, transforms())


def _fused_batches(dataset: SegmentationDataset) -> Iterator[Any]:
    return _batches_of_ours(dataset, {"all": RotateFlipCrop(NETWORK_SIZE, limit=30, flip=0.5, scale=(0.7, 1.0))})


def _batches_of_ours(dataset, transforms) -> Iterator[Any]:
    augmentation = Augmentation(ignore_label=dataset.ignore_label, transforms=transforms, reads="native")
    samples = Samples(dataset, "train", image_size=NETWORK_SIZE, augmentation=augmentation)
    for index in range(len(samples)):
        samples.at_network_size(index)  # fills the cache
    batches = training_batches(samples, batch_size=BATCH_SIZE, num_parts=1, first_epoch=0, last_epoch=10**6)
    return ((tf.cast(images, tf.float32), labels) for images, labels in batches)  # as the training step begins


def _reference_batches(dataset: SegmentationDataset) -> Iterator[Any]:
    """The recipe's way: a Python call an image, with the conversion to floats and the final resizing inside it."""
    augment = albumentations.Compose(list(transforms().values()))

    def read(image, mask):
        augmented = augment(image=image, mask=mask)
        image = tf.image.resize(tf.cast(augmented["image"] / 255.0, tf.float32), NETWORK_SIZE)
        mask = tf.image.resize(augmented["mask"][..., np.newaxis], NETWORK_SIZE, method="nearest")
        return image, tf.cast(mask, tf.int32)

    def read_in_graph(image, mask):
        return tf.numpy_function(read, [image, mask], [tf.float32, tf.int32])

    images, masks = (np.stack(parts) for parts in zip(*_decoded(dataset), strict=True))
    samples = tf.data.Dataset.from_tensor_slices((images, masks)).shuffle(NUM_IMAGES).repeat()
    batches = samples.map(read_in_graph, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_SIZE)
    return iter(batches.prefetch(tf.data.AUTOTUNE))


def _torch_batches(dataset: SegmentationDataset) -> Iterator[Any]:
    from segtrain.benchmarks.torch_loader import torch_batches

    return torch_batches(_decoded(dataset), list(transforms().values()), BATCH_SIZE)


def _torch_uint8_batches(dataset: SegmentationDataset) -> Iterator[Any]:
    from segtrain.benchmarks.torch_loader import torch_batches

    batches = torch_batches(_decoded(dataset), list(transforms().values()), BATCH_SIZE, as_bytes=True)
    return ((images.float() / 255, labels.long()) for images, labels in batches)


def _decoded(dataset: SegmentationDataset) -> list[tuple[np.ndarray, np.ndarray]]:
    return [dataset.read("train", index) for index in range(NUM_IMAGES)]


if __name__ == "__main__":
    tf.config.set_visible_devices([], "GPU")
    open_batches = {
        "segtrain": _segtrain_batches,
        "fused": _fused_batches,
        "reference": _reference_batches,
        "torch": _torch_batches,
        "torch_uint8": _torch_uint8_batches,
    }
    shapes = build_shapes(num_train=NUM_IMAGES, num_val=1, height=IMAGE_SIZE[0], width=IMAGE_SIZE[1], cache="memory")
    answer_turns(_rate_of(open_batches[sys.argv[1]](shapes)))
