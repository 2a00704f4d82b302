"""`segnet_small` in PyTorch, to time a step of it beside ours. Needs torch, which nothing but the benchmark does.

Runs in a process of its own: `python -m segtrain.benchmarks.torch_network DEVICE`.
"""

import itertools
import sys

import numpy as np
import torch
from torch import nn

from segtrain.benchmarks.networks import DROPOUT, NUM_CLASSES, WIDTH, random_batch, turns_of
from segtrain.benchmarks.other_process import answer_turns
from segtrain.machine import usable_cores
from segtrain.models.mirrored_network import Stages, small_stages


class TorchSegNet(nn.Module):
    """The network of `build_mirrored_network` with pooling indices: same widths, same parameters.

    Args:
        stages: the widths.
        num_classes: number of logits per pixel.
        channels: channels of the image.
        dropout: share of values dropped before the decoder.
    """

    def __init__(self, *, stages: Stages, num_classes: int, channels: int, dropout: float):
        super().__init__()
        ends = [channels, *(widths[-1] for widths in stages.encoder)]
        bottom = stages.bottom[-1] if stages.bottom else ends[-1]
        decoder_ends = [bottom, *(widths[-1] for widths in stages.decoder)]
        self.encoder = nn.ModuleList(map(_conv_units, ends, stages.encoder))
        self.bottom = _conv_units(ends[-1], stages.bottom)
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.ModuleList(map(_conv_units, decoder_ends, stages.decoder))
        self.logits = nn.Conv2d(decoder_ends[-1], num_classes, 3, padding=1)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns logits `(batch, classes, height, width)` for images `(batch, channels, height, width)`, 0..255."""
        x, memories = images / 255, []
        for units in self.encoder:
            x, indices = self.pool(units(x))
            memories.append(indices)
        x = self.dropout(self.bottom(x))
        for units, indices in zip(self.decoder, reversed(memories), strict=True):
            x = units(self.unpool(x, indices))
        return self.logits(x)


class TorchStep:
    """A training step in PyTorch's eager mode, channels last, with cross-entropy and Nesterov momentum.

    Args:
        network: the network.
        images: uint8 `(batch, height, width, channels)`.
        labels: uint8 `(batch, height, width)`; 255 is void.
        device: `cpu` or `cuda`.
    """

    def __init__(self, network: nn.Module, images: np.ndarray, labels: np.ndarray, device: str):
        self._network = network.to(device, memory_format=torch.channels_last).train()
        self._images = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)
        self._labels = torch.from_numpy(labels).long().to(device)
        self._optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        self._loss = nn.CrossEntropyLoss(ignore_index=255)

    def __call__(self) -> torch.Tensor:
        """Takes a step and returns its loss, which is not waited for."""
        self._optimizer.zero_grad(set_to_none=True)
        images = self._images.float().contiguous(memory_format=torch.channels_last)
        loss = self._loss(self._network(images), self._labels)
        loss.backward()
        self._optimizer.step()
        return loss.detach()


def _conv_units(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Conv 3x3 "same" -> BatchNorm -> ReLU, once for each width."""
    pairs = itertools.pairwise([channels, *widths])
    return nn.Sequential(
        *(
            layer
            for inputs, outputs in pairs
            for layer in (nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU())
        )
    )


if __name__ == "__main__":
    network = TorchSegNet(stages=small_stages(WIDTH), num_classes=NUM_CLASSES, channels=3, dropout=DROPOUT)
    torch.set_num_threads(usable_cores())
    answer_turns(turns_of(TorchStep(network, *random_batch(), device=sys.argv[1])))
