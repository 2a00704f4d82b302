import functools
import io
from types import SimpleNamespace

import numpy as np
import pytest

from segtrain.run_folder import RunFolder

IMAGE_SIZE = (32, 32)
BATCH_SIZE = 4
EPOCHS = 2
CONFIG = "model:\n  width: 4\nnote: <b>Größe</b>\n"


@pytest.fixture(autouse=True)
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use."""


@pytest.fixture(scope="session")
def build_network(two_devices):
    """Returns the builder of a network that compiles in a moment, with all that replicas could do wrong.

    It is smooth: behind a ReLU or a maximum, rounding decides between values that are nearly equal, and after a few
    steps of a deep network in float32 the difference between two orders of summation is no longer small.
    """
    import keras
    from keras import layers

    def build(dropout=0.0):
        images = keras.Input((None, None, 3))
        x = layers.Rescaling(1 / 255)(images)
        for _ in range(2):
            x = layers.Conv2D(4, 3, padding="same", kernel_regularizer=keras.regularizers.L2(0.01))(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.Activation("tanh")(x)
        x = layers.Dropout(dropout)(x)
        return keras.Model(images, layers.Conv2D(5, 1)(x))

    return build


@pytest.fixture
def policy_restored():
    import keras

    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.fixture(scope="session")
def at_half_the_size():
    import keras

    def at_half_the_size(num_classes=5):
        """Returns a network whose logits have half the size, rounded up."""
        images = keras.Input((None, None, 3))
        x = keras.layers.Rescaling(1 / 255)(images)
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
        return keras.Model(images, keras.layers.Conv2D(num_classes, 1)(x))

    return at_half_the_size


@pytest.fixture(scope="session")
def shrunk():
    def shrunk(labels):
        """Returns of each 2x2 pixels the last, or where rows or columns end before it the last of those."""
        rows, columns = ([min(place + 1, length - 1) for place in range(0, length, 2)] for length in labels.shape)
        return labels[rows][:, columns]

    return shrunk


@pytest.fixture(scope="session")
def cross_entropy_of_pixels():
    def cross_entropy_of_pixels(labels, logits):
        """Returns the loss of every valid pixel, in NumPy."""
        logits = logits.astype(np.float64)
        log_softmax = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        valid = labels != 255
        return -log_softmax[valid, labels[valid]]

    return cross_entropy_of_pixels


@pytest.fixture(scope="session")
def train(build_network, shapes_dataset):
    """Returns a function that trains on shapes, a batch size that divides the training images but not the others."""
    import keras

    from segtrain.pipeline.samples import Samples
    from segtrain.training.callbacks.history import History
    from segtrain.training.evaluator import Evaluator
    from segtrain.training.losses.cross_entropy import build_cross_entropy
    from segtrain.training.optimizers import build_sgd
    from segtrain.training.trainer import Trainer

    cross_entropy = build_cross_entropy(ignore_label=shapes_dataset.ignore_label)
    build_decaying_sgd = functools.partial(build_sgd, weight_decay=0.01)

    def train(
        strategy="one",
        *,
        callbacks=(),
        make_callbacks=lambda evaluator: (),
        epochs=EPOCHS,
        learning_rate=0.1,
        dropout=0.0,
        seed=1,
        augmentation=None,
        dataset=shapes_dataset,
        prepare=lambda model: None,
        convention="segtrain",
        precision="float32",
        batch_size=BATCH_SIZE,
        of_trainer=None,
        network=None,
        loss=cross_entropy,
        build_optimizer=build_decaying_sgd,
        **of_fit,
    ):
        keras.utils.set_random_seed(seed)
        trainer, history = Trainer(strategy=strategy, precision=precision, **(of_trainer or {})), History()
        with trainer.scope():
            model = network() if network else build_network(dropout)
            optimizer = build_optimizer(learning_rate=learning_rate)
        prepare(model)
        of_run = {"image_size": IMAGE_SIZE, "seed": seed}
        training = Samples(dataset, "train", augmentation=augmentation, **of_run)
        validation = Samples(dataset, "val", **of_run)
        evaluator = Evaluator(trainer, model, loss, validation, batch_size, convention)
        trainer.fit(
            model,
            optimizer=optimizer,
            loss=loss,
            training=training,
            evaluator=evaluator,
            batch_size=batch_size,
            epochs=epochs,
            callbacks=[history, *callbacks, *make_callbacks(evaluator)],
            **of_fit,
        )
        return SimpleNamespace(
            trainer=trainer, model=model, optimizer=optimizer, evaluator=evaluator, history=history.epochs
        )

    return train


@pytest.fixture(scope="session")
def finished_run(train, shapes_dataset, tmp_path_factory):
    """Returns, once for each strategy, a run of two epochs with the callbacks of conf/callbacks/default.yaml."""
    import keras
    from rich.console import Console

    from segtrain.pipeline.samples import Samples
    from segtrain.training.callbacks.checkpoint import Checkpoint
    from segtrain.training.callbacks.display import Display
    from segtrain.training.callbacks.metrics_csv import MetricsCsv
    from segtrain.training.callbacks.pictures import Pictures
    from segtrain.training.callbacks.tensorboard import TensorBoard
    from segtrain.training.callbacks.terminate_on_nan import TerminateOnNaN

    class Witness(keras.callbacks.Callback):
        """Keeps what each epoch's end found: the weights, metrics.csv while it is being written, the evaluation."""

        def __init__(self, folder, evaluator):
            super().__init__()
            self.folder, self.evaluator = folder, evaluator
            self.weights, self.csv, self.evaluations = [], [], []

        def on_epoch_end(self, epoch, logs=None):
            self.weights.append(self.model.get_weights())
            self.csv.append(self.folder.metrics.read_text("utf-8"))
            self.evaluations.append(self.evaluator.latest)

    @functools.cache
    def run(strategy):
        folder = RunFolder(tmp_path_factory.mktemp(strategy))
        validation = Samples(shapes_dataset, "val", image_size=IMAGE_SIZE)
        folder.config.write_text(CONFIG, encoding="utf-8")
        screen, witnesses = io.StringIO(), []

        def make_callbacks(evaluator):
            witnesses.append(Witness(folder, evaluator))
            return [
                TerminateOnNaN(),
                MetricsCsv(folder=folder),
                Pictures(folder=folder, validation=validation, num_images=2),
                TensorBoard(folder=folder, validation=validation, evaluator=evaluator),
                Checkpoint(folder=folder),
                Display(Console(file=screen, width=200), BATCH_SIZE, "memory"),
                *witnesses,
            ]

        trained = train(strategy, make_callbacks=make_callbacks)
        return SimpleNamespace(folder=folder, screen=screen.getvalue(), witness=witnesses[0], **vars(trained))

    return run
