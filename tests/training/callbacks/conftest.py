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
    """Returns a function that calls a callback's epochs with given logs, as the loop would."""

    def drive(callback, epochs, before_epoch=lambda model, epoch: None):
        callback.set_model(small_model)
        callback.set_params({"epochs": len(epochs), "steps": 1})
        callback.on_train_begin()
        for epoch, logs in enumerate(epochs):
            before_epoch(small_model, epoch)
            callback.on_epoch_begin(epoch)
            callback.on_epoch_end(epoch, logs)
        callback.on_train_end()
        return SimpleNamespace(callback=callback, model=small_model)

    return drive
