"""What a network makes of a split: its scores, or what it predicts of each sample."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from segtrain.pipeline.batches import batch_spec, evaluation_batches, original_failure
from segtrain.pipeline.samples import Samples
from segtrain.training.convention import MetricConvention
from segtrain.training.labels_at_logits import labels_at_logits
from segtrain.training.step import evaluation_step
from segtrain.training.tally import Evaluation, Tally
from segtrain.training.trainer import Trainer


class Evaluator:
    """Scores a model on a split, as often as asked, with one compiled step.

    Args:
        trainer: says on which devices.
        model: the model.
        loss: the loss to report.
        samples: the samples.
        batch_size: images of a step, over all replicas.
        convention: of the scores, see `scores_of`.

    Raises:
        ValueError: the batch cannot be divided among the replicas.
    """

    def __init__(
        self,
        trainer: Trainer,
        model: keras.Model,
        loss: Callable[[Any, Any], Any],
        samples: Samples,
        batch_size: int,
        convention: MetricConvention = "segtrain",
    ):
        trainer.require_divisible(batch_size)
        self._trainer = trainer
        self._samples = samples
        self._batch_size = batch_size
        self.convention = convention
        with trainer.scope():
            self._tally = Tally(samples.dataset.num_classes, samples.dataset.ignore_label, convention)
        spec = batch_spec(samples, batch_size)
        self._step = trainer.compile(evaluation_step(model, loss), self._tally, spec=spec)
        self.latest: Evaluation | None = None

    def run(self) -> Evaluation:
        """Returns loss and scores over the whole split. Memory does not grow with the number of images."""
        self._tally.reset()
        with original_failure(self._samples):
            for images, labels in evaluation_steps(self._trainer, self._samples, self._batch_size):
                self._step(images, labels)
        self.latest = self._tally.result()
        return self.latest


def predict_samples(
    trainer: Trainer, model: keras.Model, samples: Samples, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields truth and prediction of each sample in order, as the network sees it: what an `Evaluator` counts.

    Args:
        trainer: says on which devices.
        model: the model.
        samples: the samples.
        batch_size: images of a step, over all replicas.

    Yields:
        Labels, uint8 `(height, width)` of the network's logits, and classes of the same shape.

    Raises:
        ValueError: the batch cannot be divided among the replicas, or a sample cannot be read.
    """
    trainer.require_divisible(batch_size)
    predict = trainer.compile_prediction(model, spec=batch_spec(samples, batch_size))
    left = len(samples)
    with original_failure(samples):
        for images, labels in evaluation_steps(trainer, samples, batch_size):
            truth = np.concatenate([part.numpy() for part in trainer.strategy.experimental_local_results(labels)])
            predicted = predict(images)
            truth = np.asarray(labels_at_logits(truth, predicted))
            # What fills the last batch up is no sample.
            yield from itertools.islice(zip(truth, predicted, strict=True), left)
            left -= batch_size


def predict_sample(model: keras.Model, samples: Samples, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns one sample as the network sees it, and what it says of it.

    Returns:
        The image, uint8 `(height, width, channels)`; labels and predicted classes, uint8 `(height', width')` of the
        network's logits.
    """
    image, labels = samples.at_network_size(index)
    logits = model(image[None].astype(np.float32), training=False)
    predicted = keras.ops.convert_to_numpy(logits)[0].argmax(axis=-1).astype(np.uint8)
    return image, np.asarray(labels_at_logits(labels[None], logits))[0], predicted


def evaluation_steps(trainer: Trainer, samples: Samples, batch_size: int) -> Iterator[tuple[Any, Any]]:
    """Returns an iterator over the global batches of a split, divided among the replicas."""
    return trainer.batches(
        lambda parts: evaluation_batches(samples, batch_size=batch_size, num_parts=trainer.num_replicas, parts=parts)
    )
