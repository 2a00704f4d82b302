"""A PyTorch DataLoader with two workers. Needs torch, which nothing but the benchmark does."""

from collections.abc import Iterator, Sequence
from typing import Any

import albumentations
import numpy as np
import torch

NUM_WORKERS = 2


def torch_batches(
    decoded: Sequence[tuple[np.ndarray, np.ndarray]],
    transforms: Sequence[Any],
    batch_size: int,
    *,
    as_bytes: bool = False,
) -> Iterator[Any]:
    """Returns an endless iterator over batches of images `(batch, channels, height, width)` and labels.

    Args:
        decoded: images, uint8 `(height, width, channels)`, and labels, uint8 `(height, width)`.
        transforms: albumentations transforms.
        batch_size: images of a batch.
        as_bytes: whether the workers deliver uint8; else float32 images in 0..1 and int64 labels.
    """
    loader = torch.utils.data.DataLoader(
        _Augmented(decoded, transforms, as_bytes),
        batch_size=batch_size,
        sampler=_RandomForever(len(decoded)),
        num_workers=NUM_WORKERS,
    )
    return iter(loader)


class _Augmented(torch.utils.data.Dataset):
    def __init__(self, decoded, transforms, as_bytes):
        self._decoded = decoded
        self._as_bytes = as_bytes
        self._augment = albumentations.Compose(transforms)

    def __getitem__(self, index):
        image, labels = self._decoded[index]
        augmented = self._augment(image=image, mask=labels)
        channels_first = torch.from_numpy(augmented["image"]).permute(2, 0, 1)
        mask = torch.from_numpy(augmented["mask"])
        return (channels_first, mask) if self._as_bytes else (channels_first.float() / 255, mask.long())


class _RandomForever(torch.utils.data.Sampler):
    def __init__(self, count: int):
        self._count = count

    def __iter__(self):
        while True:
            yield from torch.randperm(self._count).tolist()
