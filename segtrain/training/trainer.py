"""The training loop: one code path for one device and for several."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from segtrain.pipeline.batches import batch_spec, evaluation_batches, training_batches
from segtrain.pipeline.samples import Samples
from segtrain.training.confusion import ConfusionMatrix
from segtrain.training.convention import MetricConvention
from segtrain.training.determinism import make_deterministic
from segtrain.training.image_score_sums import ImageScoreSums
from segtrain.training.labels_at_logits import labels_at_logits
from segtrain.training.replicas import StrategyChoice, choose_strategy, pays_to_compile, sum_over_replicas
from segtrain.training.scores import Scores, mean_of_sums, scores_of
from segtrain.training.signals import StopSignals
from segtrain.training.state import TrainingState, load_state


@dataclass(frozen=True)
class Evaluation:
    """Loss and scores of a whole split.

    Attributes:
        loss: mean of the steps' losses, each weighed by its valid pixels. It is the mean over all valid pixels where a
            loss is that of its step; with weighted_cross_entropy it is not, whose pixels weigh unlike.
        scores: under the metric contract.
        confusion_matrix: int64 `(classes, classes)`; pixels of true class `row` predicted as `column`.
    """

    loss: float
    scores: Scores
    confusion_matrix: np.ndarray


class Trainer:
    """Trains and scores a model on the devices that a strategy names.

    Model and optimizer have to be made under `scope()`.

    Args:
        strategy: `one` device; `mirrored` over all of this machine; `auto` mirrors where there are several GPUs.
        jit: whether XLA compiles the steps; `auto` does on a single GPU.
        precision: what the network computes in. Weights are float32, and so are the logits that the loss sees.
        deterministic: whether every run gives the same bits. They depend on the number of threads, which is fixed then,
            and on the kind of processor. It holds for the process from then on.

    Raises:
        ValueError: XLA or scaled float16 on several devices; or `deterministic` where TensorFlow runs already.
    """

    def __init__(
        self,
        *,
        strategy: StrategyChoice = "auto",
        jit: bool | Literal["auto"] = "auto",
        precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32",
        deterministic: bool = False,
    ):
        if deterministic:
            make_deterministic()
        self.strategy = choose_strategy(strategy)
        if self.num_replicas > 1:
            _refuse_on_several_devices("jit", jit is True, "jit=false")
            _refuse_on_several_devices("precision", precision == "mixed_float16", "precision=mixed_bfloat16")
        self.jit = pays_to_compile(self.num_replicas) if jit == "auto" else jit
        # Keras has one policy for a process. Every run sets it, so the runs of a sweep do not inherit each other's.
        keras.config.set_dtype_policy(precision)
        self.precision = precision

    @property
    def num_replicas(self) -> int:
        return self.strategy.num_replicas_in_sync

    def scope(self) -> Any:
        """Returns the context under which variables have to be created."""
        return self.strategy.scope()

    def require_divisible(self, batch_size: int) -> None:
        """Raises a ValueError where a batch cannot be divided among the replicas; says which can."""
        if batch_size % self.num_replicas:
            below = batch_size // self.num_replicas * self.num_replicas
            choices = " or ".join(str(size) for size in (below, below + self.num_replicas) if size)
            raise ValueError(
                f"batch_size is divided among {self.num_replicas} devices. Received: batch_size={batch_size}. "
                f"Use batch_size={choices}."
            )

    def fit(
        self,
        model: keras.Model,
        *,
        optimizer: keras.optimizers.Optimizer,
        loss: Callable[[Any, Any], Any],
        training: Samples,
        evaluator: "Evaluator",
        batch_size: int,
        epochs: int,
        callbacks: Sequence[keras.callbacks.Callback],
        resume_from: Path | None = None,
        stays_stopped: bool = True,
        signals: StopSignals | None = None,
    ) -> None:
        """Trains for `epochs`, driving the callbacks as `model.fit` would.

        Logs of a step hold its loss and data_wait, the seconds that its batch was waited for. Epoch logs hold loss,
        pixel_accuracy and mean_iou of the training batches as they went by, the same with `val_` for the validation
        split, learning_rate, images_per_second, data_wait (share of the time spent waiting for batches, 0..1) and
        seconds (of the whole epoch, validation included). The callbacks' `params["state"]` is the `TrainingState`.

        Args:
            model: from images 0..255 to logits.
            optimizer: its learning rate may be a schedule over steps.
            loss: see `segtrain.training.losses`.
            training: the training samples.
            evaluator: scores the model on the validation samples after each epoch; its convention is training's too.
            batch_size: images of a step, over all replicas.
            epochs: epochs to train; a callback may set `model.stop_training`.
            callbacks: any Keras callbacks.
            resume_from: a file of `save_state`, to go on from; None begins a run.
            stays_stopped: whether a run that a callback has stopped stops there again; False gives it another epoch.
            signals: what may end the run between two steps.

        Raises:
            Interrupted: one of `signals` has.
        """
        signals = signals or StopSignals()
        steps_per_epoch = training.steps_per_epoch(batch_size)
        self._synchronise_batch_norm(model)
        with self.scope():
            if self.precision == "mixed_float16":
                # Small gradients are zero in float16 unless the loss is scaled up first.
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(model.trainable_variables)
            tally = Tally(training.dataset.num_classes, training.dataset.ignore_label, evaluator.convention)
        step = training_step(model, optimizer, loss, self.num_replicas)
        train_step = self.compile(step, tally, spec=batch_spec(training, batch_size))
        # Keras callbacks look for the optimizer on the model. It is no part of the model, and leaves it with them.
        model.optimizer = optimizer
        model.stop_training = False
        state = TrainingState(model, tally.variables, callbacks)
        if resume_from is not None:
            load_state(resume_from, state)
            model.stop_training = model.stop_training and stays_stopped
        batches = self.batches(
            lambda: training_batches(
                training,
                batch_size=batch_size,
                num_parts=self.num_replicas,
                first_epoch=state.epoch,
                first_step=state.step,
                last_epoch=epochs,
            )
        )
        driver = keras.callbacks.CallbackList(
            list(callbacks), model=model, verbose=0, epochs=epochs, steps=steps_per_epoch, state=state
        )

        try:
            with signals.deferred():
                driver.on_train_begin()
                state.restore_callbacks()
                while state.epoch < epochs and not model.stop_training:
                    epoch = state.epoch
                    driver.on_epoch_begin(epoch)
                    logs = self._run_epoch(
                        driver, batches, train_step, tally, steps_per_epoch, batch_size, training, state, signals
                    )
                    start = time.perf_counter()
                    driver.on_test_begin()
                    with signals.waiting():
                        evaluation = evaluator.run()
                    driver.on_test_end()
                    logs |= {"val_" + name: value for name, value in _summary(evaluation).items()}
                    logs["learning_rate"] = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
                    logs["seconds"] = state.timing.whole + time.perf_counter() - start
                    state.complete_epoch(logs)
                    driver.on_epoch_end(epoch, logs)
        finally:
            # Also after an error: a display has to give the terminal back, a writer has to flush.
            driver.on_train_end()
            model.optimizer = None
            # Reading ahead ends with the iterator. Python must not end before it does.
            del batches

    def _run_epoch(
        self, driver, batches, train_step, tally, steps, batch_size, training, state, signals
    ) -> dict[str, float]:
        """Takes the steps that are left of an epoch. Returns the logs of its training."""
        if state.step == 0:
            tally.reset()
        ended = time.perf_counter()
        for step in range(state.step, steps):
            driver.on_train_batch_begin(step)
            asked = time.perf_counter()
            with signals.waiting(), _original_failure(training):
                images, labels = next(batches)
            waited = time.perf_counter() - asked
            compiles = train_step.experimental_get_tracing_count() == 0
            loss = float(train_step(images, labels))
            # The step that compiles takes longer than many; the rates are those of the others.
            ended, began = time.perf_counter(), ended
            state.complete_step(ended - began, waited, is_timed=not compiles or steps == 1)
            driver.on_train_batch_end(step, {"loss": loss, "data_wait": waited})
        return _summary(tally.result()) | state.timing.rates(steps, batch_size)

    def compile(
        self,
        step: Callable[[Any, Any], tuple[Any, Any]],
        tally: "Tally | None" = None,
        *,
        spec: tuple[tf.TensorSpec, tf.TensorSpec] | None = None,
    ) -> Callable[[Any, Any], Any]:
        """Compiles a replica's step into one over all replicas.

        Args:
            step: `(images, labels) -> (loss share, logits)` of one replica.
            tally: what to add the step's labels, logits and loss up in, if anything.
            spec: `batch_spec` of the global batches; where images have many sizes, it has one function made for all
                of them and not one for each.

        Returns:
            A function of global images and labels that returns the loss: the sum of the shares.
        """
        # XLA compiles the step alone: counting pixels by class is no work for it.
        compiled_step = tf.function(step, jit_compile=True) if self.jit else step

        def replica_step(images, labels):
            loss_share, logits = compiled_step(images, labels)
            if tally is not None:
                tally.update(labels, logits, loss_share)
            return loss_share

        # Batches that are divided among replicas are no tensors, and have one size.
        @tf.function(input_signature=spec if self.num_replicas == 1 else None)
        def run(images, labels):
            shares = self.strategy.run(replica_step, args=(images, labels))
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)

        return run

    def compile_prediction(
        self, model: keras.Model, *, spec: tuple[tf.TensorSpec, tf.TensorSpec] | None = None
    ) -> Callable[[Any], np.ndarray]:
        """Compiles the network's forward pass over all replicas.

        Args:
            model: from images 0..255 to logits.
            spec: see `compile`.

        Returns:
            A function of global images that returns the class of each logit, uint8 `(batch, height, width)`.
        """

        def predict(images):
            logits = tf.cast(model(tf.cast(images, tf.float32), training=False), tf.float32)
            return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)

        predict = tf.function(predict, jit_compile=True) if self.jit else predict

        @tf.function(input_signature=spec and spec[:1] if self.num_replicas == 1 else None)
        def run(images):
            return self.strategy.run(predict, args=(images,))

        return lambda images: np.concatenate(
            [part.numpy() for part in self.strategy.experimental_local_results(run(images))]
        )

    def batches(self, make_dataset: Callable[[], tf.data.Dataset]) -> Iterator[tuple[Any, Any]]:
        """Returns an iterator over global batches, divided among the replicas."""
        # Each replica takes the next element, so a dataset yields a global batch in as many elements as replicas.
        return iter(self.strategy.distribute_datasets_from_function(lambda _: make_dataset()))

    def _synchronise_batch_norm(self, model: keras.Model) -> None:
        """Has BatchNorm compute its statistics over all replicas: else each keeps running averages of its own."""
        if self.num_replicas > 1:
            for layer in model.layers:
                if isinstance(layer, keras.Model):
                    self._synchronise_batch_norm(layer)
                elif isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True


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
        self._step = trainer.compile(_evaluation_step(model, loss), self._tally, spec=spec)
        self.latest: Evaluation | None = None

    def run(self) -> Evaluation:
        """Returns loss and scores over the whole split. Memory does not grow with the number of images."""
        self._tally.reset()
        with _original_failure(self._samples):
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
    with _original_failure(samples):
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
    return trainer.batches(lambda: evaluation_batches(samples, batch_size=batch_size, num_parts=trainer.num_replicas))


class Tally:
    """What a split's steps add up to, on the device: the confusion matrix, and the loss weighed by valid pixels."""

    def __init__(self, num_classes: int, ignore_label: int, convention: MetricConvention = "segtrain"):
        self._ignore_label = ignore_label
        self._convention = convention
        self._of_images = ImageScoreSums(num_classes) if convention == "per_image" else None
        self._confusion = ConfusionMatrix(num_classes, ignore_label)
        self._loss_sum, self._weight = (
            tf.Variable(
                0.0,
                dtype=tf.float64,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for _ in range(2)
        )

    def update(self, labels, logits, loss_share):
        labels = labels_at_logits(labels, logits)
        if self._of_images is None:
            self._confusion.update(labels, logits)
        else:
            self._of_images.update(self._confusion.update_by_image(labels, logits))
        valid = tf.not_equal(labels, tf.cast(self._ignore_label, labels.dtype))
        own_weight = tf.reduce_sum(tf.cast(valid, tf.float64))
        self._loss_sum.assign_add(tf.cast(loss_share, tf.float64) * sum_over_replicas(own_weight))
        self._weight.assign_add(own_weight)

    @property
    def variables(self) -> list[tf.Variable]:
        of_images = [] if self._of_images is None else self._of_images.variables
        return [*self._confusion.variables, *of_images, self._loss_sum, self._weight]

    def reset(self):
        self._confusion.reset()
        if self._of_images is not None:
            self._of_images.reset()
        self._loss_sum.assign(0.0)
        self._weight.assign(0.0)

    def result(self) -> Evaluation:
        weight = float(self._weight.read_value())
        loss = float(self._loss_sum.read_value()) / weight if weight else float("nan")
        confusion_matrix = self._confusion.result()
        scores = scores_of(confusion_matrix, self._convention)
        if self._of_images is not None:
            scores = mean_of_sums(*self._of_images.result(), scores.is_absent)
        return Evaluation(loss, scores, confusion_matrix)


def training_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Callable[[Any, Any], Any], num_replicas: int
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns one replica's step: forward, loss, gradients, new weights.

    It takes uint8 images `(batch, height, width, channels)` and labels `(batch, height, width)`, and returns the
    replica's share of the loss and float32 logits `(batch, height', width', classes)` at the size of the network's.
    """

    def step(images, labels):
        with tf.GradientTape() as tape:
            loss_share, logits = loss_and_logits(model, loss, images, labels, training=True)
            objective = optimizer.scale_loss(loss_share + penalty(model) / num_replicas)
        gradients = tape.gradient(objective, model.trainable_variables)
        # A loss that is no number would spoil every weight, and then nothing tells which gradient it was.
        is_number = tf.math.is_finite(loss_share)
        gradients = [each if each is None else tf.where(is_number, each, tf.zeros_like(each)) for each in gradients]
        # The optimizer adds the gradients of all replicas up, as the loss shares add up to the loss.
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss_share, logits

    return step


def _evaluation_step(model, loss):
    def step(images, labels):
        return loss_and_logits(model, loss, images, labels, training=False)

    return step


def loss_and_logits(
    model: keras.Model, loss: Callable[[Any, Any], Any], images: Any, labels: Any, *, training: bool
) -> tuple[Any, Any]:
    """Returns the loss of a batch, whose labels are taken at the size of the logits, and the logits in float32."""
    logits = tf.cast(model(tf.cast(images, tf.float32), training=training), tf.float32)
    return loss(labels_at_logits(labels, logits), logits), logits


def penalty(model: keras.Model) -> Any:
    """Returns what layers add to the loss, such as weight regularisation: it steers training, and is not reported."""
    return sum(tf.cast(each, tf.float32) for each in model.losses)


def _refuse_on_several_devices(setting, is_set, instead):
    if is_set:
        raise ValueError(
            f"trainer.{setting} as set works on one device. Use trainer.{instead} or trainer.strategy=one."
        )


def _summary(evaluation: Evaluation) -> dict[str, float]:
    scores = evaluation.scores
    return {"loss": evaluation.loss, "pixel_accuracy": scores.pixel_accuracy, "mean_iou": scores.mean_iou}


@contextlib.contextmanager
def _original_failure(samples: Samples):
    """Raises what a sample's reader raised, in place of TensorFlow's wrapping of it."""
    try:
        yield
    except tf.errors.OpError as error:
        if samples.failure is None:
            raise
        raise samples.failure from error
