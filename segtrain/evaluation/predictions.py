"""A split's images with what a run predicts for them, one after another or one by its index."""

from collections.abc import Callable, Iterator
from typing import Protocol

import keras
import numpy as np

from segtrain.in_threads import map_in_threads
from segtrain.pipeline.samples import Samples
from segtrain.training.evaluator import predict_sample, predict_samples
from segtrain.training.trainer import Trainer


class Predictions(Protocol):
    """What is scored, and drawn afterwards.

    Attributes:
        samples: the images and labels.
    """

    samples: Samples

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields truth and prediction of each sample in order, uint8 `(height, width)`."""

    def predict(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns one sample again: image `(height, width, channels)`, truth and prediction as above, uint8."""


class NetworkPredictions:
    """What the network itself says of samples, at the size of its logits: what training validates.

    Implements `Predictions`.

    Args:
        trainer: says on which devices.
        model: the model.
        samples: the samples.
        batch_size: images of a step, over all devices.
    """

    def __init__(self, trainer: Trainer, model: keras.Model, samples: Samples, batch_size: int):
        trainer.require_divisible(batch_size)
        self.samples = samples
        # A larger batch than the split would be filled up with images of void.
        most = -(-len(samples) // trainer.num_replicas) * trainer.num_replicas
        self._trainer, self._model, self._batch_size = trainer, model, min(batch_size, most)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return predict_samples(self._trainer, self._model, self.samples, self._batch_size)

    def predict(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return predict_sample(self._model, self.samples, index)


class ImagePredictions:
    """What a function makes of one image after another, each of its own size. Implements `Predictions`.

    Args:
        predict: from an image, uint8 `(height, width, channels)`, to classes, uint8 `(height, width)`.
        samples: the samples; with `image_size=None` they are the untouched images and labels.
    """

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray], samples: Samples):
        self.samples = samples
        self._predict = predict

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # The next image is read beside the network, and no more: images may be huge.
        read = map_in_threads(self.samples.at_network_size, range(len(self.samples)), num_threads=1)
        for image, truth in read:
            yield truth, self._predict(image)

    def predict(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image, truth = self.samples.at_network_size(index)
        return image, truth, self._predict(image)
