"""The loop: what it computes, on one device and on two, and what it tells its callbacks."""

from dataclasses import replace
from types import SimpleNamespace

import albumentations
import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from segtrain.augmentations.augmentation import Augmentation
from segtrain.layers import FusedBatchNormalization
from segtrain.pipeline.samples import Samples
from segtrain.training.callbacks.history import History
from segtrain.training.callbacks.terminate_on_nan import TerminateOnNaN
from segtrain.training.evaluator import Evaluator
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.trainer import Trainer

VOID = 255
TIMINGS = ("images_per_second", "data_wait", "seconds")


def without_timings(history):
    return [{name: value for name, value in epoch.items() if name not in TIMINGS} for epoch in history]


# One device and two.


def test_two_devices_train_as_one_does(finished_run):
    """Twelve steps; the last batch of validation leaves one replica with nothing but filling."""
    one, mirrored = finished_run("one"), finished_run("mirrored")
    assert (one.trainer.num_replicas, mirrored.trainer.num_replicas) == (1, 2)
    assert len(one.history) == 2
    for expected, epoch in zip(without_timings(one.history), without_timings(mirrored.history), strict=True):
        assert epoch == pytest.approx(expected, rel=1e-5)
    for expected, weights in zip(one.witness.weights[-1], mirrored.witness.weights[-1], strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-5)


def test_replicas_share_their_running_averages(finished_run):
    """Each would else keep those of its own half batch, and a checkpoint hold the first one's."""
    norms = [layer for layer in finished_run("mirrored").model.layers if "batch_norm" in layer.name]
    assert len(norms) == 2
    for variable in [norm.moving_variance for norm in norms]:
        first, second = (value.numpy() for value in variable.value.values)
        assert np.ptp(first) > 0
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("batch_size", "advice"), [(5, "batch_size=4 or 6."), (1, "batch_size=2."), (9, "batch_size=8 or 10.")]
)
def test_a_batch_has_to_be_divisible(batch_size, advice):
    with pytest.raises(ValueError, match="divided among 2 devices") as error:
        Trainer(strategy="mirrored").require_divisible(batch_size)
    assert f"Received: batch_size={batch_size}. Use {advice}" in str(error.value)


def test_a_divisible_batch_is_fine():
    Trainer(strategy="mirrored").require_divisible(6)
    Trainer(strategy="one").require_divisible(5)


# What the numbers mean.


def test_logged_scores_are_those_of_the_confusion_matrix(finished_run):
    run = finished_run("one")
    evaluation, last = run.evaluator.run(), run.history[-1]
    assert (last["val_loss"], last["val_mean_iou"], last["val_pixel_accuracy"]) == pytest.approx(
        (evaluation.loss, evaluation.scores.mean_iou, evaluation.scores.pixel_accuracy), rel=1e-6
    )


def test_logged_loss_is_the_mean_over_the_valid_pixels_of_the_epoch(train, shapes_dataset, cross_entropy_of_pixels):
    """At a learning rate of zero each batch can be computed again. Batches differ in void: the mean of means is off."""
    run = train(learning_rate=0.0)
    training = Samples(shapes_dataset, "train", image_size=(32, 32), seed=1)
    for epoch, logs in enumerate(run.history):
        pixels, predicted, truth = [], [], []
        for indices in training.order(epoch).reshape(6, 4):
            images, labels = training.batch(indices)
            logits = run.model(images.astype(np.float32), training=True).numpy()
            pixels.append(cross_entropy_of_pixels(labels, logits))
            predicted.append(logits.argmax(axis=-1)[labels != VOID])
            truth.append(labels[labels != VOID])
        loss = np.concatenate(pixels).mean()
        assert abs(np.mean([batch.mean() for batch in pixels]) / loss - 1) > 2e-5
        assert logs["loss"] == pytest.approx(loss, rel=2e-6)
        truth, predicted = np.concatenate(truth), np.concatenate(predicted)
        assert logs["pixel_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted), abs=1e-3)
        mean_iou = sklearn.metrics.jaccard_score(truth, predicted, average="macro", zero_division=0)
        assert logs["mean_iou"] == pytest.approx(mean_iou, abs=1e-3)


def test_a_layers_penalty_steers_training_but_is_not_in_the_loss(train):
    def penalise(model):
        for kernel in kernels(model):
            kernel.regularizer = keras.regularizers.L2(1.0)

    def kernels(model):
        return [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]

    penalised = train(epochs=1, prepare=penalise)
    assert penalised.history[0]["loss"] < 3  # the penalty alone was more
    usual = train(epochs=1)
    assert squares(kernels(penalised.model)) < 0.5 * squares(kernels(usual.model))


def squares(variables):
    return sum(np.sum(variable.numpy() ** 2) for variable in variables)


def test_same_seed_same_numbers(train):
    """Order, augmentation, initial weights and dropout all hang on the seed alone."""
    augmentation = Augmentation(transforms={"flip": albumentations.HorizontalFlip(p=0.5)}, ignore_label=VOID)
    first, second = (train(dropout=0.3, augmentation=augmentation, epochs=1).history for _ in range(2))
    assert without_timings(first) == without_timings(second)


def test_logs_of_an_epoch(finished_run):
    for number, epoch in enumerate(finished_run("one").history, 1):
        assert epoch["epoch"] == number
        assert epoch["learning_rate"] == pytest.approx(0.1)
        assert epoch["images_per_second"] > 0
        assert 0 <= epoch["data_wait"] <= 1
        # 24 images a training epoch, validation comes on top
        assert epoch["seconds"] >= 24 / epoch["images_per_second"]


# What callbacks are told.


class Recorder(keras.callbacks.Callback):
    """Keeps the calls it gets, in order, and the names of the logs that came along."""

    def __init__(self):
        super().__init__()
        self.events, self.epochs = [], []
        for hook in ("train_begin", "train_end", "test_begin", "test_end"):
            setattr(self, f"on_{hook}", lambda logs=None, hook=hook: self.events.append((hook, None)))
        for hook in ("epoch_begin", "train_batch_begin", "train_batch_end"):
            setattr(self, f"on_{hook}", lambda at, logs=None, hook=hook: self.events.append((hook, at)))

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(("epoch_end", epoch))
        self.epochs.append((self.model.optimizer.iterations.numpy(), logs))


@pytest.fixture(scope="module")
def fit_of_keras(two_devices):
    """What `model.fit` calls for as many steps and epochs. (Batches of validation are left out: they have no logs.)"""
    recorder = Recorder()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = np.zeros((24, 1)), np.zeros((24, 1))
    model.fit(*data, batch_size=4, epochs=2, validation_data=data, callbacks=[recorder], verbose=0)
    return recorder


@pytest.fixture(scope="module")
def fit_of_ours(train):
    recorder = Recorder()
    train(callbacks=[recorder])
    return recorder


def test_callbacks_are_called_as_by_fit(fit_of_ours, fit_of_keras):
    assert len(fit_of_keras.events) == 2 + 2 * (2 + 2 * 6 + 2)
    assert fit_of_ours.events == fit_of_keras.events


def test_callbacks_get_the_parameters_that_fit_gives(fit_of_ours, fit_of_keras):
    """ProgbarLogger, for one, reads `verbose`."""
    assert (fit_of_ours.params["epochs"], fit_of_ours.params["steps"]) == (2, 6)
    assert fit_of_ours.params.keys() >= fit_of_keras.params.keys()


def test_callbacks_see_the_optimizer_and_its_steps(fit_of_ours):
    assert [steps for steps, _ in fit_of_ours.epochs] == [6, 12]


def test_the_model_has_no_optimizer_when_done(finished_run):
    assert finished_run("one").model.optimizer is None


def test_keras_callbacks_work_and_keep_their_promises(train, tmp_path):
    """Nothing can improve by 10: the rate halves after each epoch but the first, and the fourth is the last."""
    hopeless = {"monitor": "val_mean_iou", "mode": "max", "min_delta": 10.0}
    models, weights = [], []
    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(models[0].get_weights())),
        keras.callbacks.ReduceLROnPlateau(**hopeless, factor=0.5, patience=1),
        keras.callbacks.EarlyStopping(**hopeless, patience=3, restore_best_weights=True),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.2f}.weights.h5", save_weights_only=True),
        keras.callbacks.TensorBoard(tmp_path / "board"),
        keras.callbacks.TerminateOnNaN(),
    ]
    run = train(epochs=10, callbacks=callbacks, prepare=models.append)
    assert [epoch["epoch"] for epoch in run.history] == [1, 2, 3, 4]
    assert [epoch["learning_rate"] for epoch in run.history] == pytest.approx([0.1, 0.1, 0.05, 0.025])
    assert np.any(weights[0][0] != weights[-1][0])
    for restored, first in zip(run.model.get_weights(), weights[0], strict=True):
        np.testing.assert_array_equal(restored, first)
    assert len((tmp_path / "log.csv").read_text("utf-8").splitlines()) == 1 + 4
    assert len(list(tmp_path.glob("*.weights.h5"))) == 4
    assert list((tmp_path / "board").rglob("events.*"))


# When something goes wrong.


def test_a_loss_that_is_no_number_ends_the_run_and_callbacks_are_closed(train):
    recorder = Recorder()
    with pytest.raises(FloatingPointError, match=r"epoch 1, step \d"):
        train(learning_rate=1e30, callbacks=[recorder, TerminateOnNaN()])
    assert recorder.events[-1] == ("train_end", None)
    assert ("epoch_end", 0) not in recorder.events


class BrokenSplit:
    """The split it wraps, but one file cannot be read."""

    def __init__(self, split):
        self._split = split

    def __getattr__(self, name):
        return getattr(self._split, name)

    def __len__(self):
        return len(self._split)

    def read(self, index):
        if index == 7:
            raise ValueError("mask_7.png is damaged")
        return self._split.read(index)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_file_that_cannot_be_read_is_named(train, shapes_dataset, split):
    """TensorFlow buries the reason in its own error."""
    splits = {**shapes_dataset.splits, split: BrokenSplit(shapes_dataset.split(split))}
    with pytest.raises(ValueError, match="mask_7.png is damaged") as error:
        train(dataset=replace(shapes_dataset, splits=splits), epochs=1)
    assert not isinstance(error.value, tf.errors.OpError)


# What the network computes in, and whether XLA compiles it.

POLICIES = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


class Steps(keras.callbacks.Callback):
    """Keeps after each step the trainable weights and, where the loss is scaled, by how much it will be next."""

    def on_train_begin(self, logs=None):
        self.weights, self.scales = [self._trainable()], [self._scale()]

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self._trainable())
        self.scales.append(self._scale())

    def _trainable(self):
        return np.concatenate([variable.numpy().ravel() for variable in self.model.trainable_variables])

    def _scale(self):
        return float(keras.ops.convert_to_numpy(getattr(self.model.optimizer, "dynamic_scale", 1.0)))


def build_small_network(**of_convolution):
    """Normalised by our own layer. Its logits come in whatever it computes in."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(4, 3, padding="same", **of_convolution)(x)
    x = FusedBatchNormalization(momentum=0.9)(x)
    x = keras.layers.Activation("tanh")(x)
    return keras.Model(images, keras.layers.Conv2D(5, 1)(x))


@pytest.fixture
def train_on(shapes_dataset, policy_restored):
    """Returns a function that trains the small network for two epochs of six steps with a trainer set so.

    The loss is taken times a factor, and the learning rate divided by it: it makes no difference to the weights, but
    for what float16 cannot hold.
    """

    def train_on(*, factor=1.0, learning_rate=0.1, momentum=0.9, callbacks=(), network=build_small_network, **settings):
        keras.utils.set_random_seed(1)
        trainer = Trainer(**{"strategy": "one"} | settings)
        with trainer.scope():
            model = network()
            optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum)
        cross_entropy, seen = build_cross_entropy(ignore_label=VOID), []

        def loss(labels, logits):
            seen.append(logits.dtype.name)
            return factor * cross_entropy(labels, logits)

        samples = [Samples(shapes_dataset, split, image_size=(32, 32), seed=1) for split in ("train", "val")]
        evaluator = Evaluator(trainer, model, loss, samples[1], 4)
        history, steps = History(), Steps()
        trainer.fit(
            model,
            optimizer=optimizer,
            loss=loss,
            training=samples[0],
            evaluator=evaluator,
            batch_size=4,
            epochs=2,
            callbacks=[history, steps, *callbacks],
        )
        return SimpleNamespace(
            trainer=trainer,
            model=model,
            history=history.epochs,
            evaluator=evaluator,
            seen=seen,
            weights=steps.weights,
            scales=steps.scales,
        )

    return train_on


def way_off(run, reference):
    """Returns how far the run's weights ended from the reference's, as a share of how far those came."""
    end, expected = run.weights[-1], reference.weights[-1]
    np.testing.assert_array_equal(run.weights[0], reference.weights[0])
    return np.linalg.norm(end - expected) / np.linalg.norm(expected - reference.weights[0])


@pytest.mark.parametrize(("jit", "compiles"), [(True, True), (False, False), ("auto", False)])
def test_xla_compiles_the_step_where_it_is_told_to(policy_restored, jit, compiles):
    """`auto` finds no GPU here."""
    trainer = Trainer(strategy="one", jit=jit)
    run = trainer.compile(lambda images, labels: (tf.reduce_sum(images), labels))
    assert float(run(tf.ones(3), tf.zeros(3))) == 3.0
    functions = run.get_concrete_function(tf.ones(3), tf.zeros(3)).graph.as_graph_def().library.function
    assert any(function.attr["_XlaMustCompile"].b for function in functions) is compiles
    assert trainer.jit is compiles


def test_xla_trains_to_the_same_numbers(train_on):
    usual, compiled = train_on(jit=False), train_on(jit=True)
    assert way_off(compiled, usual) < 1e-4
    for expected, epoch in zip(without_timings(usual.history), without_timings(compiled.history), strict=True):
        assert epoch == pytest.approx(expected, rel=1e-4)


def test_xla_is_refused_on_two_devices(policy_restored):
    Trainer(strategy="one")
    with pytest.raises(ValueError, match=r"^trainer\.jit=true works on one device") as error:
        Trainer(strategy="mirrored", jit=True)
    assert str(error.value).endswith("Use trainer.jit=false or trainer.strategy=one.")
    assert keras.config.dtype_policy().name == "float32"


def test_two_devices_train_our_batch_norm_as_one_does(train_on):
    one, mirrored = train_on(), train_on(strategy="mirrored")
    assert (one.trainer.jit, mirrored.trainer.jit) == (False, False)
    assert way_off(mirrored, one) < 1e-3
    for expected, epoch in zip(without_timings(one.history), without_timings(mirrored.history), strict=True):
        assert epoch == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("precision", "strategy"),
    [*((precision, "one") for precision in POLICIES), ("mixed_bfloat16", "mirrored"), ("mixed_float16", "mirrored")],
)
def test_layers_compute_in_the_precision_and_weights_logits_and_loss_stay_float32(train_on, precision, strategy):
    run = train_on(precision=precision, strategy=strategy)
    assert len(run.model.layers) == 6
    assert {layer.compute_dtype for layer in run.model.layers} == {POLICIES[precision]}
    assert run.model(np.zeros((1, 4, 4, 3), np.float32)).dtype == POLICIES[precision]
    assert {variable.dtype for variable in run.model.weights} == {"float32"}
    assert set(run.seen) == {"float32"}
    assert len(run.seen) >= 2  # training and validation
    assert run.history[1]["loss"] < run.history[0]["loss"] < 3


@pytest.mark.parametrize("settings", [{"jit": False}, {"jit": True}, {"strategy": "mirrored"}])
def test_float16_follows_float32_where_gradients_are_too_small_for_it(train_on, settings):
    """A loss of a thousandth has them: of a pixel's, nothing is left unless they are scaled up."""
    small = {"factor": 2.0**-12, "learning_rate": 0.1 * 2.0**12}
    expected = train_on(**small)
    run = train_on(**small, precision="mixed_float16", **settings)
    assert run.scales == [2.0**15] * 13
    assert way_off(run, expected) < 0.02
    for expected_epoch, epoch in zip(expected.history, run.history, strict=True):
        # What is reported is the loss as it is, not as it is scaled.
        for name in ("loss", "val_loss"):
            assert epoch[name] == pytest.approx(expected_epoch[name], rel=0.01)
            assert 0.1 < epoch[name] * 2.0**12 < 3


def test_float16_that_is_not_scaled_loses_its_way(train_on, policy_restored):
    """So the test above can fail."""
    settings = {"factor": 2.0**-12, "learning_rate": 0.1 * 2.0**12}
    expected = train_on(**settings)

    def float16_network():
        keras.config.set_dtype_policy("mixed_float16")
        return build_small_network()

    assert way_off(train_on(**settings, network=float16_network), expected) > 0.1


@pytest.mark.parametrize("settings", [{"jit": False}, {"jit": True}, {"strategy": "mirrored"}])
def test_a_step_whose_gradients_overflow_leaves_the_weights_alone(train_on, settings):
    """The loss is scaled half as much then, until gradients fit; from there on it trains."""
    run = train_on(factor=2.0**8, learning_rate=0.1 * 2.0**-8, precision="mixed_float16", **settings)
    skipped = [after < before for before, after in zip(run.scales, run.scales[1:], strict=False)]
    assert len(skipped) == 12
    assert 2 <= sum(skipped) <= 8
    for step, is_skipped in enumerate(skipped):
        assert np.array_equal(run.weights[step + 1], run.weights[step]) is is_skipped
        assert run.scales[step + 1] == run.scales[step] / (2 if is_skipped else 1)
    assert np.isfinite(run.model.get_weights()[-1]).all()
    assert run.history[1]["loss"] < run.history[0]["loss"] < 3 * 2.0**8


@pytest.mark.parametrize("jit", [False, True])
def test_learning_rate_is_reported_of_the_optimizer_that_steps(train_on, jit):
    """Scaling wraps the optimizer in another, which has a rate of its own."""
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 12, end_learning_rate=0.01)
    run = train_on(learning_rate=schedule, precision="mixed_float16", jit=jit)
    assert [epoch["learning_rate"] for epoch in run.history] == pytest.approx([0.055, 0.01])


class Stop(keras.callbacks.Callback):
    """Takes the learning rate away after the first epoch, as callbacks do: by setting the optimizer's."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.0


def test_a_callback_sets_the_rate_of_the_optimizer_that_steps(train_on):
    run = train_on(callbacks=[Stop()], precision="mixed_float16", momentum=0.0)
    assert [epoch["learning_rate"] for epoch in run.history] == pytest.approx([0.1, 0.0])
    moved = [np.any(after != before) for before, after in zip(run.weights, run.weights[1:], strict=False)]
    assert moved == [True] * 6 + [False] * 6


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_penalties_of_weights_and_of_activations_may_differ_in_precision(train_on, precision):
    """A weight's is float32, an activation's is what the layer computes in."""

    def penalised():
        l2 = keras.regularizers.L2(1e-3)
        return build_small_network(kernel_regularizer=l2, activity_regularizer=l2)

    usual, smaller = (train_on(network=network, precision=precision) for network in (build_small_network, penalised))
    assert squares([smaller.model.layers[2].kernel]) < 0.75 * squares([usual.model.layers[2].kernel])
    assert smaller.history[1]["loss"] < 3


# Images at their own sizes.


def test_images_of_many_sizes_take_one_trace(shapes_of_many_sizes, build_network):
    """A trace takes as long as many steps, and TensorFlow makes one for each size unless told that it is unknown."""
    keras.utils.set_random_seed(1)
    cross_entropy, traces = build_cross_entropy(ignore_label=VOID), []

    def loss(labels, logits):
        traces.append((labels.shape, logits.shape))
        return cross_entropy(labels, logits)

    trainer, model, history = Trainer(strategy="one"), build_network(), History()
    training, validation = (Samples(shapes_of_many_sizes, split, image_size=None, seed=1) for split in ("train", "val"))
    evaluator = Evaluator(trainer, model, loss, validation, batch_size=1)
    trainer.fit(
        model,
        optimizer=keras.optimizers.SGD(0.1),
        loss=loss,
        training=training,
        evaluator=evaluator,
        batch_size=1,
        epochs=2,
        callbacks=[history],
    )
    # One of the training step, one of the evaluation.
    assert traces == [((1, None, None), (1, None, None, 5))] * 2
    assert len(history.epochs) == 2
    assert history.epochs[1]["loss"] < history.epochs[0]["loss"]


# Logits of a smaller size than the image's.


@pytest.mark.parametrize("settings", [{"strategy": "one"}, {"strategy": "mirrored"}, {"jit": True}])
def test_fewer_logits_train_against_labels_of_their_size(
    train_on, shapes_dataset, settings, cross_entropy_of_pixels, at_half_the_size, shrunk
):
    """At a learning rate of zero each epoch's loss and score are those of the shrunk masks."""
    run = train_on(network=at_half_the_size, learning_rate=0.0, **settings)
    samples = Samples(shapes_dataset, "train", image_size=(32, 32))
    pixels, right = [], []
    for index in range(24):
        image, labels = samples.at_network_size(index)
        labels, logits = shrunk(labels), run.model(image[None].astype(np.float32)).numpy()[0]
        pixels.append(cross_entropy_of_pixels(labels, logits))
        right.append((logits.argmax(axis=-1) == labels)[labels != VOID])
    assert run.history[1]["loss"] == pytest.approx(np.concatenate(pixels).mean(), rel=1e-5)
    assert run.history[1]["pixel_accuracy"] == pytest.approx(np.concatenate(right).mean(), rel=1e-6)


def test_fewer_logits_learn(train_on, at_half_the_size):
    first, second = train_on(network=at_half_the_size).history
    assert second["loss"] < 0.98 * first["loss"]


# Samples that cannot be used.


class Vanishing:
    """A split whose files go when it is told so. Implements `Split`."""

    def __init__(self, split):
        self.split, self.gone = split, set()

    def __len__(self):
        return len(self.split)

    def __getattr__(self, name):
        return getattr(self.split, name)

    def read(self, index):
        if index in self.gone:
            raise FileNotFoundError(2, "No such file or directory", f"image_{index}.png")
        return self.split.read(index)


class TakesAway(keras.callbacks.Callback):
    def __init__(self, split, indices):
        super().__init__()
        self.split, self.indices = split, indices

    def on_train_batch_end(self, batch, logs=None):
        self.split.gone |= self.indices


def test_a_file_that_vanishes_in_mid_epoch_is_named(train, shapes_dataset):
    split = Vanishing(shapes_dataset.split("train"))
    dataset = replace(shapes_dataset, splits={**shapes_dataset.splits, "train": split}, cache="none")
    with pytest.raises(FileNotFoundError, match=r"image_5\.png"):
        train(dataset=dataset, callbacks=[TakesAway(split, {5})])


def test_training_goes_on_without_a_file_that_vanishes(train, shapes_dataset):
    split = Vanishing(shapes_dataset.split("train"))
    options = {"cache": "none", "on_bad_sample": "skip", "max_bad_share": 0.1}
    dataset = replace(shapes_dataset, splits={**shapes_dataset.splits, "train": split}, **options)
    trained = train(dataset=dataset, callbacks=[TakesAway(split, {5})])
    assert len(trained.history) == 2
    assert np.isfinite([epoch["loss"] for epoch in trained.history]).all()


def test_a_batch_of_nothing_but_void_teaches_nothing_and_spoils_nothing(train, shapes_dataset):
    """As when all files of a step are gone."""
    split = Vanishing(shapes_dataset.split("train"))
    split.gone = set(range(len(split)))
    options = {"on_bad_sample": "skip", "max_bad_share": 1.0}
    dataset = replace(shapes_dataset, splits={**shapes_dataset.splits, "train": split}, **options)
    trained = train(dataset=dataset)
    assert all(np.isfinite(value).all() for value in trained.model.get_weights())
    assert np.isfinite(trained.history[-1]["val_loss"])
