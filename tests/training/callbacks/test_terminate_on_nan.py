"""A loss that is no number ends the run, and the message says where."""

import pytest

from segtrain.training.callbacks.terminate_on_nan import TerminateOnNaN


@pytest.fixture
def callback(small_model):
    callback = TerminateOnNaN()
    callback.set_model(small_model)
    callback.on_epoch_begin(2)
    return callback


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_names_epoch_step_and_learning_rate(callback, loss):
    callback.on_train_batch_end(3, {"loss": 1.0})
    with pytest.raises(FloatingPointError) as error:
        callback.on_train_batch_end(4, {"loss": loss})
    assert f"The loss became {loss} in epoch 3, step 5, at learning rate 0.25." in str(error.value)


@pytest.mark.parametrize("loss", [0.0, 1e30, -1.0])
def test_any_number_will_do(callback, loss):
    callback.on_train_batch_end(4, {"loss": loss})
