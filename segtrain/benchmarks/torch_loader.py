"""A PyTorch DataLoader over the same images and transforms. Imports torch, which only the benchmark needs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import albumentations
import cv2
import numpy as np
import torch

NUM_WORKERS = 2


class _Decoded(torch.utils.data.Dataset):
    """Decoded images and labels, augmented as they are asked for, over and over."""

    def __init__(self, decoded: Sequence[tuple[np.ndarray, np.ndarray]], transforms: Mapping[str, Any], length: int):
        self._decoded = decoded
        self._augment = albumentations.Compose(list(transforms.values()))
        self._length = length

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        image, labels = self._decoded[index % len(self._decoded)]
        result = self._augment(image=image, mask=labels)
        image = np.ascontiguousarray(result["image"].transpose(2, 0, 1))
        return torch.from_numpy(image).float() / 255, torch.from_numpy(result["mask"]).long()


def torch_batches(
    decoded: Sequence[tuple[np.ndarray, np.ndarray]], transforms: Mapping[str, Any], batch_size: int
) -> Iterator[Any]:
    """Returns an endless iterator over batches of float images `(batch, channels, height, width)` and labels."""
    loader = torch.utils.data.DataLoader(
        _Decoded(decoded, transforms, length=10**9),
        batch_size=batch_size,
        sampler=_Endless(len(decoded)),
        num_workers=NUM_WORKERS,
        worker_init_fn=lambda _: cv2.setNumThreads(0),
    )
    return iter(loader)


class _Endless(torch.utils.data.Sampler):
    def __init__(self, count: int):
        self._count = count

    def __iter__(self):
        while True:
            yield from torch.randperm(self._count).tolist()
