"""A training step of `segnet_small` against the plain encoder-decoder's, and against PyTorch's where it is installed.

The networks have the width, image size and batch of a public comparison at 64x64.
"""

import importlib.util
from collections.abc import Callable
from typing import IO, Any

import keras
import numpy as np
import tensorflow as tf

from segtrain.benchmarks.alternation import NOT_MEASURED, Figure, ratio, seconds_of, take_turns
from segtrain.benchmarks.other_process import OtherProcess
from segtrain.models.encoder_decoder_small import build_encoder_decoder_small
from segtrain.models.segnet_small import build_segnet_small
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.optimizers import build_sgd
from segtrain.training.step import Learner
from segtrain.training.trainer import Trainer

WIDTH, NUM_CLASSES, DROPOUT = 32, 22, 0.1
BATCH_SIZE, IMAGE_SIZE = 16, (64, 64)
STEPS_PER_TURN = 2


def measure_networks(rounds: int, log: IO[str]) -> dict[str, Figure]:
    """Returns step times as ratios: `segnet_over_encoder_decoder` and, where torch is installed, `step_over_torch`."""
    steps = {build.__name__: timed_step(build) for build in (build_segnet_small, build_encoder_decoder_small)}
    ours, plain = steps
    torch = None
    if importlib.util.find_spec("torch"):
        device = "cuda" if tf.config.list_logical_devices("GPU") else "cpu"
        torch = OtherProcess("segtrain.benchmarks.torch_network", device, log=log)
    try:
        figures = take_turns(steps | ({"torch": torch} if torch else {}), rounds)
    finally:
        if torch:
            torch.close()
    found = {"segnet_over_encoder_decoder": ratio(figures, ours, plain)}
    return found | {"step_over_torch": ratio(figures, ours, "torch") if torch else NOT_MEASURED}


def random_batch() -> tuple[np.ndarray, np.ndarray]:
    """Returns images, uint8 `(batch, height, width, 3)`, and labels, uint8 `(batch, height, width)`."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH_SIZE, *IMAGE_SIZE, 3), np.uint8)
    return images, rng.integers(0, NUM_CLASSES, (BATCH_SIZE, *IMAGE_SIZE), np.uint8)


def timed_step(build: Callable[..., keras.Model]) -> Callable[[], float]:
    """Returns a function that takes training steps on one batch and returns seconds."""
    trainer = Trainer(strategy="one")
    model = build(num_classes=NUM_CLASSES, channels=3, width=WIDTH, dropout=DROPOUT)
    optimizer = build_sgd(learning_rate=0.01)
    optimizer.build(model.trainable_variables)
    step = trainer.compile(Learner(model, optimizer, build_cross_entropy(ignore_label=255), num_replicas=1).step)
    images, labels = (keras.ops.convert_to_tensor(part) for part in random_batch())
    return turns_of(lambda: step(images, labels))


def turns_of(step: Callable[[], Any]) -> Callable[[], float]:
    """Takes the first step, which compiles; returns a function that takes those of a turn and returns seconds."""
    float(step())
    return lambda: seconds_of(step, STEPS_PER_TURN, wait=float)
