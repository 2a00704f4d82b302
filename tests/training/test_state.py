"""The state file: a run goes on from it as if it had never stopped."""

import errno
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.training.replicas import choose_strategy, variable_of_sums
from segtrain.training.state import EpochTiming, TrainingState, load_state, save_state


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
    save_state(tmp_path / "state.npz", TrainingState(model, epoch=3))
    expected = train(model, range(3, 8))

    restored = build(seed=2)
    state = TrainingState(restored)
    load_state(tmp_path / "state.npz", state)
    assert (state.epoch, state.step, state.is_new) == (3, 0, False)
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
    save_state(tmp_path / "state.npz", TrainingState(model, epoch=3))
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
    save_state(tmp_path / "state.npz", TrainingState(model, epoch=1))
    load_state(tmp_path / "state.npz", TrainingState(restored))
    assert float(restored.optimizer.learning_rate) == float(model.optimizer.learning_rate)
    assert train(restored, range(3, 6)) == train(model, range(3, 6))


def test_a_reduced_learning_rate_is_kept(tmp_path):
    model, restored = build(1), build(2)
    model.optimizer.learning_rate = 0.00125
    save_state(tmp_path / "state.npz", TrainingState(model, epoch=1))
    load_state(tmp_path / "state.npz", TrainingState(restored))
    assert float(restored.optimizer.learning_rate) == pytest.approx(0.00125)


def test_state_moves_between_one_device_and_several(tmp_path):
    with choose_strategy("mirrored").scope():
        mirrored = build(seed=1)
    for number, variable in enumerate(mirrored.variables):
        variable.assign(np.full(variable.shape, number, variable.dtype))
    save_state(tmp_path / "mirrored.npz", TrainingState(mirrored, epoch=1))
    single = build(seed=2)
    load_state(tmp_path / "mirrored.npz", TrainingState(single))
    assert [value.ravel()[0] for value in values(single)[: len(single.variables)]] == list(range(len(single.variables)))

    train(single, range(2))
    save_state(tmp_path / "single.npz", TrainingState(single, epoch=1))
    load_state(tmp_path / "single.npz", TrainingState(mirrored))
    for variable, expected in zip([*mirrored.variables, *mirrored.optimizer.variables], values(single), strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), expected)


def test_callbacks_come_back_by_what_decides(tmp_path):
    """Settings come from the config: only what the callback has learned is kept."""
    stopping = keras.callbacks.EarlyStopping(monitor="val_mean_iou", mode="max", patience=5)
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="val_mean_iou", mode="max", patience=3, cooldown=2)
    stopping.best, stopping.wait, stopping.best_epoch = np.float32(0.5), 2, 7
    plateau.best, plateau.cooldown_counter = 0.25, 1
    save_state(tmp_path / "state.npz", TrainingState(build(1), callbacks=[stopping, plateau], epoch=9))
    other_stopping = keras.callbacks.EarlyStopping(monitor="val_mean_iou", mode="max", patience=8)
    other_plateau = keras.callbacks.ReduceLROnPlateau(monitor="val_mean_iou", mode="max", patience=3, cooldown=2)
    state = TrainingState(build(2), callbacks=[other_stopping, other_plateau])
    load_state(tmp_path / "state.npz", state)
    assert state.epoch == 9
    other_stopping.on_train_begin()  # forgets
    state.restore_callbacks()
    assert (other_stopping.best, other_stopping.wait, other_stopping.best_epoch) == (0.5, 2, 7)
    assert (other_plateau.best, other_plateau.cooldown_counter) == (0.25, 1)
    assert other_stopping.patience == 8


def test_two_callbacks_of_one_class_keep_a_state_each(tmp_path):
    callbacks = [keras.callbacks.EarlyStopping(monitor=monitor) for monitor in ("loss", "val_loss")]
    callbacks[0].wait, callbacks[1].wait = 3, 5
    save_state(tmp_path / "state.npz", TrainingState(build(1), callbacks=callbacks, epoch=1))
    others = [keras.callbacks.EarlyStopping(monitor=monitor) for monitor in ("loss", "val_loss")]
    state = TrainingState(build(2), callbacks=others)
    load_state(tmp_path / "state.npz", state)
    state.restore_callbacks()
    assert [callback.wait for callback in others] == [3, 5]


def test_what_was_known_of_another_log_is_forgotten(tmp_path):
    """A best loss is no score to beat."""
    callback = keras.callbacks.EarlyStopping(monitor="val_loss")
    callback.best, callback.wait = 0.01, 3
    save_state(tmp_path / "state.npz", TrainingState(build(1), callbacks=[callback]))
    other = keras.callbacks.EarlyStopping(monitor="val_mean_iou", mode="max")
    other.on_train_begin()
    state = TrainingState(build(2), callbacks=[other])
    load_state(tmp_path / "state.npz", state)
    state.restore_callbacks()
    assert (other.best, other.wait) == (None, 0)


def test_each_replica_has_the_whole_tally(tmp_path):
    """Counts of 2**53 + 1 and a sum that another order would round: the bits come back, whatever the devices."""

    def tally():
        return [variable_of_sums(tf.zeros(2, dtype)) for dtype in (tf.int64, tf.float64)]

    with choose_strategy("mirrored").scope():
        saved, restored = tally(), tally()
    alone, values = tally(), [[2**53 + 1, 3], [1e16 + 2, 0.1 + 0.2]]
    for variable, value in zip(saved, values, strict=True):
        for part in variable.values:
            part.assign(value)
    save_state(tmp_path / "state.npz", TrainingState(build(1), tally=saved))
    load_state(tmp_path / "state.npz", TrainingState(build(2), tally=restored))
    assert [[part.numpy().tolist() for part in variable.values] for variable in restored] == [[v, v] for v in values]
    load_state(tmp_path / "state.npz", TrainingState(build(2), tally=alone))
    assert [variable.numpy().tolist() for variable in alone] == values


def test_the_log_of_the_epochs_comes_back_to_the_last_bit(tmp_path):
    state = TrainingState(build(1))
    for number in range(20):
        state.complete_step(0.5, 0.125, is_timed=number > 0)
        state.complete_epoch({"loss": np.float64(number / 7), "val_loss": float("nan") if number == 3 else 0.1 + 0.2})
    state.complete_step(0.25, 0.0, is_timed=True)
    save_state(tmp_path / "state.npz", state)
    restored = TrainingState(build(2))
    load_state(tmp_path / "state.npz", restored)
    assert (restored.epoch, restored.step, restored.timing) == (20, 1, state.timing)
    assert repr(restored.history) == repr(
        [{name: float(v) if name != "epoch" else v for name, v in epoch.items()} for epoch in state.history]
    )


def test_where_no_step_counts_the_rate_is_that_of_all():
    timing = EpochTiming(whole=6.0, steps=2, seconds=0.5, waited=0.125)
    assert timing.rates(3, 8) == {"images_per_second": 32.0, "data_wait": 0.25}
    assert EpochTiming(whole=4.0).rates(1, 8) == {"images_per_second": 2.0, "data_wait": 0.0}


def test_a_run_that_was_stopped_stays_so(tmp_path):
    model = build(1)
    model.stop_training = True
    save_state(tmp_path / "state.npz", TrainingState(model))
    model.stop_training = False
    load_state(tmp_path / "state.npz", TrainingState(model))
    assert model.stop_training


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_file_is_refused_and_leaves_the_model_alone(tmp_path, damage):
    path = tmp_path / "state.npz"
    save_state(path, TrainingState(build(1)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "emptied": b""}[damage])
    model = build(2)
    before = values(model)
    with pytest.raises(ValueError, match="state.npz is damaged"):
        load_state(path, TrainingState(model))
    for one, other_value in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(one, other_value)


@pytest.mark.parametrize(
    "other",
    [
        lambda: build(1, optimizer=keras.optimizers.SGD(0.1)),
        lambda: build(1, width=16),
    ],
    ids=["another optimizer", "another width"],
)
def test_state_of_another_model_is_refused_and_leaves_the_model_alone(tmp_path, other):
    save_state(tmp_path / "state.npz", TrainingState(build(2), epoch=1))
    model = other()
    before = values(model)
    with pytest.raises(ValueError, match="another model or optimizer") as error:
        load_state(tmp_path / "state.npz", TrainingState(model))
    assert "state.npz" in str(error.value)
    for one, other_value in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(one, other_value)


def test_a_failure_while_writing_leaves_the_former_state(tmp_path, monkeypatch):
    model = build(1)
    path = tmp_path / "state.npz"
    save_state(path, TrainingState(model, epoch=1))

    def fill_the_disk(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        save_state(path, TrainingState(model, epoch=2))
    assert [file.name for file in tmp_path.iterdir()] == ["state.npz"]
    state = TrainingState(model)
    load_state(path, state)
    assert state.epoch == 1


def test_a_full_disk_is_told_with_the_bytes_of_the_first_state(tmp_path, monkeypatch):
    def fill_the_disk(file, **arrays):
        raise OSError(errno.ENOSPC, "No space left on device")

    model = build(1)
    monkeypatch.setattr(np, "savez", fill_the_disk)
    with pytest.raises(OSError, match="the disk is full") as error:
        save_state(tmp_path / "state.npz", TrainingState(model))
    needed = int(re.search(r"It needs ([\d,]+) bytes", str(error.value))[1].replace(",", ""))
    assert needed == sum(value.nbytes for value in values(model)) > 500


def test_a_state_is_saved_while_a_graph_is_built(tmp_path):
    """A signal may come then."""
    model = build(seed=1)
    train(model, range(2))
    state = TrainingState(model, tally=[variable_of_sums(tf.constant([2.0, 3.0]))], epoch=2)

    @tf.function
    def run(x):
        save_state(tmp_path / "within.npz", state)
        return x

    run(tf.constant(1.0))
    save_state(tmp_path / "outside.npz", state)
    within, outside = (np.load(tmp_path / f"{name}.npz") for name in ("within", "outside"))
    assert within.files == outside.files
    for name in within.files:
        np.testing.assert_array_equal(within[name], outside[name])
