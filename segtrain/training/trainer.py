"""The training loop: one code path for one device and for several."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from annotated_types import Ge, Gt

from segtrain.pipeline.batches import batch_spec, original_failure, training_batches
from segtrain.pipeline.samples import Samples
from segtrain.training.accumulation import Accumulation
from segtrain.training.between_workers import file_of_chief
from segtrain.training.determinism import make_deterministic
from segtrain.training.recomputation import recomputing
from segtrain.training.replicas import StrategyChoice, choose_strategy, divide_cpu, join_replicas, pays_to_compile
from segtrain.training.rollback import RollbackError
from segtrain.training.signals import StopSignals
from segtrain.training.state import TrainingState, load_state
from segtrain.training.step import Learner
from segtrain.training.tally import Tally
from segtrain.training.weight_average import average_in_place, leave_average

if TYPE_CHECKING:  # it takes a trainer
    from segtrain.training.evaluator import Evaluator


class Trainer:
    """Trains and scores a model on the devices that a strategy names.

    Model and optimizer have to be made under `scope()`.

    Args:
        strategy: `one` device; `mirrored` over all of this machine; `multiworker` over those of several processes, see
            `segtrain.training.cluster`; `auto` mirrors where there are several GPUs.
        logical_cpus: how many devices the processor shows itself as, to try `mirrored` without GPUs; one when None. It
            holds for the process from then on.
        jit: whether XLA compiles the steps; `auto` does on a single GPU.
        precision: what the network computes in. Weights are float32, and so are the logits that the loss sees.
        deterministic: whether every run gives the same bits. They depend on the number of threads, which is fixed then,
            and on the kind of processor. It holds for the process from then on.
        accumulate: batches of a step, whose gradients are added up before the weights change: see `Accumulation`.
        recompute: whether the backward pass computes once more what the forward pass then need not keep: the same
            numbers with less memory, in more time. See `recomputing`.
        wait_for_workers: with `multiworker`, how many seconds to wait for the others to come.

    Raises:
        ValueError: the workers do not come together; XLA on several devices; or `deterministic` or `logical_cpus` where
            TensorFlow runs already.
    """

    def __init__(
        self,
        *,
        strategy: StrategyChoice = "auto",
        logical_cpus: Annotated[int, Ge(1)] | None = None,
        jit: bool | Literal["auto"] = "auto",
        precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32",
        deterministic: bool = False,
        accumulate: Annotated[int, Ge(1)] = 1,
        recompute: bool = False,
        wait_for_workers: Annotated[float, Gt(0)] = 300.0,
    ):
        if deterministic:
            make_deterministic()
        if logical_cpus is not None:
            divide_cpu(logical_cpus)
        self.strategy = choose_strategy(strategy, wait_for_workers)
        self._has_others = strategy == "multiworker"
        if self.num_replicas > 1 and jit is True:
            raise ValueError("trainer.jit=true works on one device. Use trainer.jit=false or trainer.strategy=one.")
        self.jit = pays_to_compile(self.num_replicas) if jit == "auto" else jit
        # Keras has one policy for a process. Every run sets it, so the runs of a sweep do not inherit each other's.
        keras.config.set_dtype_policy(precision)
        self.precision = precision
        self.accumulate = accumulate
        self.recompute = recompute

    @property
    def num_replicas(self) -> int:
        return self.strategy.num_replicas_in_sync

    def scope(self) -> Any:
        """Returns the context under which variables have to be created."""
        return self.strategy.scope()

    def alone(self) -> "Trainer":
        """Returns a trainer that needs no other process, for what the chief of several does by itself."""
        if not self._has_others:
            return self
        return Trainer(strategy="one", jit=self.jit, precision=self.precision)

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
            optimizer: its learning rate may be a schedule over steps. Where it keeps an average of the weights, that
                is what is scored, what callbacks see at the end of an epoch, and what the model has in the end.
            loss: see `segtrain.training.losses`.
            training: the training samples.
            evaluator: scores the model on the validation samples after each epoch; its convention is training's too.
            batch_size: images of a batch, over all replicas; a step is one, or as many as `accumulate` says.
            epochs: epochs to train; a callback may set `model.stop_training`.
            callbacks: any Keras callbacks.
            resume_from: a file of `save_state`, to go on from; None begins a run.
            stays_stopped: whether a run that a callback has stopped stops there again; False gives it another epoch.
            signals: what may end the run between two steps.

        A callback's `RollbackError` at the end of a step has training begin again from a state that was saved before.

        Raises:
            Interrupted: one of `signals` has.
        """
        signals = signals or StopSignals()
        steps_per_epoch = training.steps_per_epoch(batch_size, self.accumulate)
        self.prepare_layers(model)
        with self.scope():
            if self.precision == "mixed_float16":
                # Small gradients are zero in float16 unless the loss is scaled up first.
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(model.trainable_variables)
            tally = Tally(training.dataset.num_classes, training.dataset.ignore_label, evaluator.convention)
            forward = recomputing(model) if self.recompute else None
            learner, accumulation = Learner(model, optimizer, loss, self.num_replicas, forward), None
            if self.accumulate > 1:
                accumulation = Accumulation(learner, training.dataset.ignore_label)
        step = accumulation.add if accumulation else learner.step
        # Keras callbacks look for the optimizer on the model. It is no part of the model, and leaves it with them.
        model.optimizer = optimizer
        model.stop_training = False
        state = TrainingState(model, tally.variables, callbacks)
        if resume_from is not None:
            load_state(resume_from, state)
            model.stop_training = model.stop_training and stays_stopped
        driver = keras.callbacks.CallbackList(
            list(callbacks), model=model, verbose=0, epochs=epochs, steps=steps_per_epoch, state=state
        )

        def begin():
            """Returns batches and compiled step from where the state is; a callback may change the optimizer first."""
            batches = self.batches(
                lambda parts: training_batches(
                    training,
                    batch_size=batch_size * self.accumulate,
                    num_parts=self.num_replicas * self.accumulate,
                    parts=[batch * self.num_replicas + part for batch in range(self.accumulate) for part in parts],
                    first_epoch=state.epoch,
                    first_step=state.step,
                    last_epoch=epochs,
                )
            )
            driver.on_train_begin()
            state.restore_callbacks()
            of_batch = self.compile(step, tally, spec=batch_spec(training, batch_size))
            return batches, _Step(of_batch, accumulation and self._compile_last(accumulation.step))

        batches = None
        try:
            with signals.deferred():
                batches, train_step = begin()
                while state.epoch < epochs and not model.stop_training:
                    epoch = state.epoch
                    driver.on_epoch_begin(epoch)
                    try:
                        logs = self._run_epoch(
                            driver, batches, train_step, tally, steps_per_epoch, batch_size, training, state, signals
                        )
                    except RollbackError as rollback:
                        driver.on_train_end()
                        load_state(file_of_chief(self.strategy, rollback.state), state)
                        batches, train_step = begin()
                        continue
                    start = time.perf_counter()
                    with average_in_place(state, optimizer):
                        driver.on_test_begin()
                        with signals.waiting():
                            evaluation = evaluator.run()
                        driver.on_test_end()
                        logs |= {"val_" + name: value for name, value in evaluation.logs.items()}
                        logs["learning_rate"] = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
                        logs["seconds"] = state.timing.whole + time.perf_counter() - start
                        state.complete_epoch(logs)
                        driver.on_epoch_end(epoch, logs)
                leave_average(model, optimizer)
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
            # All at once: between two batches of a step there is no place to save at.
            with signals.waiting(), original_failure(training):
                batches_of_step = [next(batches) for _ in range(self.accumulate)]
            waited = time.perf_counter() - asked
            compiles = train_step.compiles
            loss = float(train_step(batches_of_step))
            # The step that compiles takes longer than many; the rates are those of the others.
            ended, began = time.perf_counter(), ended
            state.complete_step(ended - began, waited, is_timed=not compiles or steps == 1)
            driver.on_train_batch_end(step, {"loss": loss, "data_wait": waited})
        return tally.result().logs | state.timing.rates(steps, batch_size * self.accumulate)

    def compile(
        self,
        step: Callable[[Any, Any], tuple[Any, Any]],
        tally: Tally | None = None,
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

    def _compile_last(self, step: Callable[[], Any]) -> Callable[[], Any]:
        """Compiles what a replica does after the batches of a step, and returns as its share of the loss."""
        compiled_step = tf.function(step, jit_compile=True) if self.jit else step

        @tf.function
        def run():
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(compiled_step), axis=None)

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

    def batches(self, make_dataset: Callable[[range], tf.data.Dataset]) -> Iterator[tuple[Any, Any]]:
        """Returns an iterator over global batches, divided among the replicas.

        Args:
            make_dataset: given the parts that this process computes, returns a dataset of these of each batch.
        """

        # Each replica takes the next element, so a dataset yields its part of a batch in as many as replicas here.
        def of_worker(context):
            here = context.num_replicas_in_sync // context.num_input_pipelines
            first = context.input_pipeline_id * here
            return make_dataset(range(first, first + here))

        return iter(self.strategy.distribute_datasets_from_function(of_worker))

    def prepare_layers(self, model: keras.Model) -> None:
        """Makes the layers those of a replica, where there are several."""
        if self.num_replicas > 1:
            join_replicas(model)


@dataclass(frozen=True)
class _Step:
    """A step over all replicas: of each batch, and where it has several what comes after them."""

    of_batch: Any
    last: Callable[[], Any] | None

    @property
    def compiles(self) -> bool:
        """Whether the next call does, which takes longer than many."""
        return self.of_batch.experimental_get_tracing_count() == 0

    def __call__(self, batches: Sequence[tuple[Any, Any]]) -> Any:
        for images, labels in batches:
            loss = self.of_batch(images, labels)
        return self.last() if self.last else loss
