"""Images a second of our pipeline, of the usual tf.data one and of PyTorch's, with the same transforms.

The augmentation is that of a public U-Net recipe: rotation within 30 degrees, horizontal flip, and a random part of a
360x480 image brought to 224x224. The images are in memory from the start, so it is augmentation and batching that are
timed.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import albumentations
import cv2
import numpy as np
import tensorflow as tf

from segtrain.augmentations.augmentation import Augmentation
from segtrain.datasets.shapes import build_shapes
from segtrain.pipeline.batches import training_batches
from segtrain.pipeline.samples import Samples

IMAGE_SIZE = (360, 480)
NETWORK_SIZE = (224, 224)
NUM_IMAGES = 64
BATCH_SIZE = 32
# Batches that each pipeline has ready when its turn comes, or works on while others have theirs, are not its speed.
UNTIMED_BATCHES = 8
TIMED_BATCHES = 16


def input_pipelines(seed: int) -> dict[str, Callable[[], float]]:
    """Returns pipelines by name, each a function that draws batches and returns images per second.

    Names: `segtrain`, `reference` (one `tf.numpy_function` an image) and, where torch is installed, `torch` (a
    DataLoader with two workers).
    """
    dataset = build_shapes(num_train=NUM_IMAGES, num_val=1, height=IMAGE_SIZE[0], width=IMAGE_SIZE[1], cache="memory")
    decoded = [dataset.read("train", index) for index in range(NUM_IMAGES)]
    pipelines = {
        "segtrain": _rate_of(_segtrain_batches(dataset, seed)),
        "reference": _rate_of(_reference_batches(decoded)),
    }
    if importlib.util.find_spec("torch"):
        from segtrain.benchmarks.torch_loader import torch_batches

        pipelines["torch"] = _rate_of(torch_batches(decoded, transforms(), BATCH_SIZE))
    return pipelines


def transforms() -> dict[str, Any]:
    """Returns the albumentations transforms, by name."""
    return {
        "rotate": albumentations.Rotate(limit=30, fill_mask=255, p=1.0),
        "flip": albumentations.HorizontalFlip(p=0.5),
        "crop": albumentations.RandomResizedCrop(size=NETWORK_SIZE, scale=(0.7, 1.0), p=1.0),
    }


def _rate_of(batches: Iterator[Any]) -> Callable[[], float]:
    def draw() -> float:
        for _ in range(UNTIMED_BATCHES):
            next(batches)
        start = time.perf_counter()
        for _ in range(TIMED_BATCHES):
            next(batches)
        return TIMED_BATCHES * BATCH_SIZE / (time.perf_counter() - start)

    return draw


def _segtrain_batches(dataset, seed) -> Iterator[Any]:
    augmentation = Augmentation(ignore_label=dataset.ignore_label, transforms=transforms(), reads="native")
    samples = Samples(dataset, "train", image_size=NETWORK_SIZE, augmentation=augmentation, seed=seed)
    for index in range(len(samples)):
        samples.at_network_size(index)  # fills the cache
    batches = training_batches(samples, batch_size=BATCH_SIZE, num_parts=1, first_epoch=0, last_epoch=10**6)
    return ((tf.cast(images, tf.float32), labels) for images, labels in batches)  # as the training step begins


def _reference_batches(decoded) -> Iterator[Any]:
    """The way of the recipe: a Python call an image, floats and the final resizing made inside it."""
    augment = albumentations.Compose(list(transforms().values()))
    images, labels = (np.stack(parts) for parts in zip(*decoded, strict=True))

    def read(image, mask):
        result = augment(image=image, mask=mask)
        image = tf.image.resize(tf.cast(result["image"] / 255.0, tf.float32), NETWORK_SIZE)
        mask = tf.image.resize(result["mask"][..., np.newaxis], NETWORK_SIZE, method="nearest")
        return image, tf.cast(mask, tf.int32)

    def read_in_graph(image, mask):
        return tf.numpy_function(read, [image, mask], [tf.float32, tf.int32])

    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(NUM_IMAGES).repeat()
    dataset = dataset.map(read_in_graph, num_parallel_calls=tf.data.AUTOTUNE)
    return iter(dataset.batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE))
