"""A step of several batches trains as one of a batch as many times as large."""

import keras
import numpy as np
import pytest

from segtrain.pipeline.samples import Samples
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.losses.weighted_cross_entropy import build_weighted_cross_entropy

VOID = 255
WEIGHTS = [0.1, 4.0, 1.0, 0.5, 8.0]


@pytest.fixture(scope="module")
def smooth_network(two_devices):
    def build():
        """Has no BatchNorm, which sees each batch by itself; a penalty counts once a step."""
        images = keras.Input((None, None, 3))
        x = keras.layers.Rescaling(1 / 255)(images)
        x = keras.layers.Conv2D(4, 3, padding="same", activation="tanh", kernel_regularizer=keras.regularizers.L2(0.1))(
            x
        )
        return keras.Model(images, keras.layers.Conv2D(5, 1)(x))

    return build


class Rates(keras.callbacks.Callback):
    """Keeps how many steps there were, and each one's loss."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])

    def on_train_end(self, logs=None):
        self.iterations = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))


@pytest.fixture(scope="module")
def trained(train, smooth_network):
    def trained(batch_size, accumulate, strategy="one", **settings):
        steps = Rates()
        schedule = keras.optimizers.schedules.PolynomialDecay(0.5, 15, end_learning_rate=0.01)
        of_trainer = {"accumulate": accumulate, **settings.pop("of_trainer", {})}
        run = train(
            strategy,
            batch_size=batch_size,
            network=smooth_network,
            learning_rate=schedule,
            epochs=5,
            callbacks=[steps],
            of_trainer=of_trainer,
            **settings,
        )
        return run, steps

    return trained


@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        ("one", {}),
        ("mirrored", {}),
        ("one", {"of_trainer": {"jit": True}}),
        ("mirrored", {"weights": WEIGHTS}),
    ],
    ids=["one", "two devices", "xla", "weighted pixels"],
)
def test_batches_that_add_up_train_as_the_large_one(trained, shapes_dataset, policy_restored, strategy, settings):
    """15 steps of 8 images, whose batches differ in void; the rate falls with the steps."""
    settings = dict(settings)
    if "weights" in settings:
        names = shapes_dataset.class_names
        settings["loss"] = build_weighted_cross_entropy(
            ignore_label=VOID, class_names=names, class_balance=None, weights=settings.pop("weights")
        )
    of_loss = {key: value for key, value in settings.items() if key == "loss"}
    (large, steps_of_large), (parts, steps) = trained(8, 1, **of_loss), trained(2, 4, strategy, **settings)
    assert steps.iterations == steps_of_large.iterations == 15
    assert steps.losses == pytest.approx(steps_of_large.losses, rel=1e-5)
    expected, weights = (np.concatenate([each.ravel() for each in run.model.get_weights()]) for run in (large, parts))
    assert np.linalg.norm(weights - expected) < 1e-5 * np.linalg.norm(expected)
    for expected, epoch in zip(large.history, parts.history, strict=True):
        # What is reported of weighted pixels is the mean of batches, of which there are more.
        losses = () if of_loss else ("loss", "val_loss")
        for name in (*losses, "mean_iou", "pixel_accuracy", "val_mean_iou", "learning_rate"):
            assert epoch[name] == pytest.approx(expected[name], rel=1e-5)


def test_a_step_is_the_mean_over_its_valid_pixels(train, smooth_network, shapes_dataset, cross_entropy_of_pixels):
    """In NumPy, at a learning rate of zero. The mean of the batches' means is another number."""
    steps = Rates()
    run = train(
        batch_size=2,
        network=smooth_network,
        learning_rate=0.0,
        epochs=1,
        callbacks=[steps],
        of_trainer={"accumulate": 4},
    )
    training = Samples(shapes_dataset, "train", image_size=(32, 32), seed=1)
    for loss, indices in zip(steps.losses, training.order(0).reshape(3, 4, 2), strict=True):
        pixels = []
        for part in indices:
            images, labels = training.batch(part)
            pixels.append(cross_entropy_of_pixels(labels, run.model(images.astype(np.float32)).numpy()))
        mean = np.concatenate(pixels).mean()
        assert abs(np.mean([part.mean() for part in pixels]) / mean - 1) > 1e-5
        assert loss == pytest.approx(mean, rel=2e-6)


def test_batches_of_void_do_not_count(train, smooth_network):
    """The loss of the others, whose mean is not thinned; where all are void, the penalty alone moves the weights."""
    cross_entropy = build_cross_entropy(ignore_label=VOID)
    run = train(
        batch_size=4,
        network=smooth_network,
        epochs=1,
        loss=lambda labels, logits: cross_entropy(labels * 0 + VOID, logits),
        of_trainer={"accumulate": 3},
        prepare=lambda model: model.layers[2].kernel.assign(np.ones((3, 3, 3, 4))),
    )
    assert all(np.isfinite(weights).all() for weights in run.model.get_weights())
    assert run.history[0]["loss"] == 0.0
    assert (run.model.layers[2].kernel.numpy() < 1.0).all()


def test_more_batches_than_the_split_has_are_refused(train, smooth_network):
    with pytest.raises(ValueError, match=r"Use trainer\.accumulate=3 or less"):
        train(batch_size=8, network=smooth_network, of_trainer={"accumulate": 4})
