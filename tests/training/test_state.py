"""The state file: a run goes on from it as if it had never stopped."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.training.replicas import choose_strategy
from segtrain.training.state import load_state, save_state


def build(seed, *, width=8, optimizer=None):
    """A network with all that has state: kernels, running averages, dropout's random state, optimizer slots."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(width),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1),
        ]
    )
    model.optimizer = optimizer or keras.optimizers.Adam(0.01)
    model.optimizer.build(model.trainable_variables)
    return model


def train(model, steps):
    """Returns the loss of each step."""
    losses = []
    for step in steps:
        inputs = np.random.default_rng(step).normal(size=(16, 4)).astype(np.float32)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(inputs, training=True) - inputs[:, :1] ** 2) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        losses.append(float(loss))
    return losses


def values(model):
    return [keras.ops.convert_to_numpy(variable) for variable in [*model.variables, *model.optimizer.variables]]


def test_training_goes_on_identically(tmp_path):
    model = build(seed=1)
    train(model, range(3))
    save_state(tmp_path / "state.npz", model, epochs_done=3, callbacks=[])
    expected = train(model, range(3, 8))

    restored = build(seed=2)
    assert load_state(tmp_path / "state.npz", restored)["epochs_done"] == 3
    assert train(restored, range(3, 8)) == expected
    for after, before in zip(values(restored), values(model), strict=True):
        np.testing.assert_array_equal(after, before)


def test_dropout_and_optimizer_state_decide_how_it_goes_on(tmp_path):
    """Why weights alone will not do: without either the losses differ."""
    model = build(seed=1)
    train(model, range(3))
    weights = model.get_weights()
    seeds = [variable for variable in model.variables if "seed" in variable.path]
    assert len(seeds) == 1
    save_state(tmp_path / "state.npz", model, epochs_done=3, callbacks=[])
    expected = train(model, range(3, 6))

    restored = build(seed=2)
    restored.set_weights(weights)
    assert train(restored, range(3, 6)) != expected


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        lambda: keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.1, 20)),
    ],
    ids=["momentum", "schedule"],
)
def test_every_optimizer_goes_on_identically(tmp_path, optimizer):
    model, restored = build(1, optimizer=optimizer()), build(2, optimizer=optimizer())
    train(model, range(3))
    save_state(tmp_path / "state.npz", model, epochs_done=1, callbacks=[])
    load_state(tmp_path / "state.npz", restored)
    assert float(restored.optimizer.learning_rate) == float(model.optimizer.learning_rate)
    assert train(restored, range(3, 6)) == train(model, range(3, 6))


def test_a_reduced_learning_rate_is_kept(tmp_path):
    model, restored = build(1), build(2)
    model.optimizer.learning_rate = 0.00125
    save_state(tmp_path / "state.npz", model, epochs_done=1, callbacks=[])
    load_state(tmp_path / "state.npz", restored)
    assert float(restored.optimizer.learning_rate) == pytest.approx(0.00125)


def test_state_moves_between_one_device_and_several(tmp_path):
    with choose_strategy("mirrored").scope():
        mirrored = build(seed=1)
    for number, variable in enumerate(mirrored.variables):
        variable.assign(np.full(variable.shape, number, variable.dtype))
    save_state(tmp_path / "mirrored.npz", mirrored, epochs_done=1, callbacks=[])
    single = build(seed=2)
    load_state(tmp_path / "mirrored.npz", single)
    assert [value.ravel()[0] for value in values(single)[: len(single.variables)]] == list(range(len(single.variables)))

    train(single, range(2))
    save_state(tmp_path / "single.npz", single, epochs_done=1, callbacks=[])
    load_state(tmp_path / "single.npz", mirrored)
    for variable, expected in zip([*mirrored.variables, *mirrored.optimizer.variables], values(single), strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), expected)


def test_callbacks_come_back_by_what_decides(tmp_path):
    """Settings come from the config: only what the callback has learned is kept."""
    stopping = keras.callbacks.EarlyStopping(monitor="val_mean_iou", mode="max", patience=5)
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="val_mean_iou", mode="max", patience=3, cooldown=2)
    stopping.best, stopping.wait, stopping.best_epoch = np.float32(0.5), 2, 7
    plateau.best, plateau.cooldown_counter = 0.25, 1
    save_state(tmp_path / "state.npz", build(1), epochs_done=9, callbacks=[stopping, plateau])
    position = load_state(tmp_path / "state.npz", build(2))
    assert position["epochs_done"] == 9
    kept = position["callbacks"]
    assert {name: kept["EarlyStopping"][name] for name in ("best", "wait", "best_epoch")} == {
        "best": 0.5,
        "wait": 2,
        "best_epoch": 7,
    }
    assert (kept["ReduceLROnPlateau"]["best"], kept["ReduceLROnPlateau"]["cooldown_counter"]) == (0.25, 1)
    assert "patience" not in json.dumps(kept)


def test_two_callbacks_of_one_class_keep_a_state_each(tmp_path):
    callbacks = [keras.callbacks.EarlyStopping(monitor=monitor) for monitor in ("loss", "val_loss")]
    callbacks[0].wait, callbacks[1].wait = 3, 5
    save_state(tmp_path / "state.npz", build(1), epochs_done=1, callbacks=callbacks)
    kept = json.dumps(load_state(tmp_path / "state.npz", build(2))["callbacks"])
    assert '"wait": 3' in kept
    assert '"wait": 5' in kept


@pytest.mark.parametrize(
    "other",
    [
        lambda: build(1, optimizer=keras.optimizers.SGD(0.1)),
        lambda: build(1, width=16),
    ],
    ids=["another optimizer", "another width"],
)
def test_state_of_another_model_is_refused_and_leaves_the_model_alone(tmp_path, other):
    save_state(tmp_path / "state.npz", build(2), epochs_done=1, callbacks=[])
    model = other()
    before = values(model)
    with pytest.raises(ValueError, match="another model or optimizer") as error:
        load_state(tmp_path / "state.npz", model)
    assert "state.npz" in str(error.value)
    for one, other_value in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(one, other_value)


def test_a_failure_while_writing_leaves_the_former_state(tmp_path, monkeypatch):
    model = build(1)
    path = tmp_path / "state.npz"
    save_state(path, model, epochs_done=1, callbacks=[])

    def fill_the_disk(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        save_state(path, model, epochs_done=2, callbacks=[])
    assert [file.name for file in tmp_path.iterdir()] == ["state.npz"]
    assert load_state(path, model)["epochs_done"] == 1
