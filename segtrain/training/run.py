"""What a run is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from segtrain.pipeline.samples import Samples
from segtrain.training.evaluator import Evaluator
from segtrain.training.recomputation import recomputing
from segtrain.training.step import Learner
from segtrain.training.trainer import Trainer


@dataclass(frozen=True)
class Run:
    """The parts of a run, ready to be trained.

    Attributes:
        trainer: says on which devices.
        model: the model.
        optimizer: its optimizer.
        loss: its loss.
        training: the training samples.
        evaluator: of the validation samples; the loop ends its epochs with it.
        batch_size: images of a batch.
        callbacks: what the loop drives.
    """

    trainer: Trainer
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    loss: Callable[[Any, Any], Any]
    training: Samples
    evaluator: Evaluator
    batch_size: int
    callbacks: Sequence[keras.callbacks.Callback]

    @property
    def learner(self) -> Learner:
        """What one replica trains, and by what, for a step of one batch."""
        forward = recomputing(self.model) if self.trainer.recompute else None
        return Learner(self.model, self.optimizer, self.loss, self.trainer.num_replicas, forward)

    def fit(self, *, epochs: int, callbacks: Sequence[keras.callbacks.Callback], **going_on: Any) -> None:
        """Trains for `epochs` with callbacks that may be others than its own; see `Trainer.fit`."""
        self.trainer.fit(
            self.model,
            optimizer=self.optimizer,
            loss=self.loss,
            training=self.training,
            evaluator=self.evaluator,
            batch_size=self.batch_size,
            epochs=epochs,
            callbacks=callbacks,
            **going_on,
        )
