from types import SimpleNamespace

import pytest

from segtrain.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


@pytest.fixture
def small_model():
    """A model of one convolution with its optimizer, as the loop gives it to callbacks."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(5, 1, name="logits")])
    model.optimizer = keras.optimizers.SGD(0.25, momentum=0.9)
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture
def drive(small_model):
    """Returns a function that calls a callback's epochs with given logs, from a state on, as the loop would."""

    def drive(callback, epochs, before_epoch=lambda model, epoch: None, state=None):
        from segtrain.training.state import TrainingState

        state = state or TrainingState(small_model, callbacks=[callback])
        callback.set_model(small_model)
        callback.set_params({"epochs": state.epoch + len(epochs), "steps": 1, "state": state})
        callback.on_train_begin()
        state.restore_callbacks()
        for logs in epochs:
            epoch = state.epoch
            before_epoch(small_model, epoch)
            callback.on_epoch_begin(epoch)
            state.complete_epoch(logs)
            callback.on_epoch_end(epoch, logs)
        callback.on_train_end()
        return SimpleNamespace(callback=callback, model=small_model)

    return drive
