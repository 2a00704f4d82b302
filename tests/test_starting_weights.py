"""Weights that a model starts from, from the command line on: they are read once, and looked for first."""

import json
import re
import sys
import warnings

import keras
import numpy as np
import pytest

import segtrain.layers  # noqa: F401 - known to keras by name from then on
from segtrain import cli
from segtrain.models.encoders.mobilenet_v2 import build_mobilenet_v2
from segtrain.models.encoders.vgg16 import build_vgg16
from segtrain.models.segnet import build_segnet
from segtrain.starting_weights import reading_weights, tell

MODEL = ["model=unet_on_encoder", "model/encoder=vgg16", "model.widths=[4,4,4,4]"]  # of few layers, for speed
TRAINING = ["--config-name", "smoke", "epochs=1", "trainer.strategy=one", "trainer.jit=false", "callbacks=[checkpoint]"]


@pytest.fixture(autouse=True)
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use."""


@pytest.fixture
def run(kept_logging, monkeypatch, tmp_path, capsys):
    """Runs a command line in this process. Returns its status, output and errors."""
    monkeypatch.setattr(sys, "argv", ["segtrain"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = 0
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return run


def encoder_of(folder):
    model = keras.saving.load_model(folder / "checkpoints" / "best.keras", compile=False)
    return model.get_layer("vgg16").get_weights()


def test_a_run_goes_on_without_the_file_it_began_with(run, tmp_path):
    """The encoder is frozen: whatever was not in the state, or did not come back from it, would be random."""
    keras.utils.set_random_seed(3)
    trained = build_vgg16(channels=3).model
    weights, folder = tmp_path / "best.keras", tmp_path / "run"
    trained.save(weights)
    typed = f"model.encoder.weights={weights}"
    status, output, errors = run(*TRAINING, *MODEL, typed, "model.encoder.freeze=all", f"hydra.run.dir={folder}")
    assert (status, errors) == (0, "")
    assert f"parameters, {trained.count_params():,} of them frozen) on shapes" in output
    weights.unlink()
    status, output, errors = run("resume", folder, "epochs=2")
    assert (status, errors) == (0, "")
    assert "goes on after epoch 1" in output
    assert json.loads((folder / "results.json").read_text("utf-8"))["epochs"] == 2
    after = encoder_of(folder)
    assert len(after) == 2 * 13
    for one, other in zip(trained.get_weights(), after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("verb", "settings"),
    [
        ([], ["model=unet_on_encoder", "model.encoder.weights=missing.keras"]),
        (["summary"], ["model=unet_on_encoder", "model.encoder.weights=missing.keras"]),
        (["summary"], ["model=segnet", "model.weights=missing.h5"]),
    ],
)
def test_a_file_that_is_not_there_is_told_at_once(run, tmp_path, monkeypatch, verb, settings):
    def starts(*_):
        raise AssertionError("TensorFlow is started")

    monkeypatch.setattr("segtrain.parts.start_tensorflow", starts)
    status, _, errors = run(*verb, "dataset=shapes", *settings, f"hydra.run.dir={tmp_path / 'run'}")
    assert status == 2
    told = rf"segtrain: error: {re.escape(settings[1])}: there is no such file\. Type model\.\S+=imagenet, null, or a"
    assert re.match(told, errors)
    assert errors.count("\n") == 1
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_network_is_the_same_where_weights_are_not_read(monkeypatch):
    """SegNet's pre-processing goes with its weights."""

    def unreachable(*_):
        raise AssertionError("something is downloaded")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
    with reading_weights(False):
        model = build_segnet(num_classes=3, channels=3, weights="imagenet")
        build_mobilenet_v2(channels=3, alpha=0.35, weights="missing.keras")
    assert [layer.name for layer in model.layers if layer.name in ("rescale", "preprocess")] == ["preprocess"]
    with pytest.raises(ValueError, match="there is no such file"):
        build_mobilenet_v2(channels=3, alpha=0.35, weights="missing.keras")


def test_a_note_goes_where_the_run_tells_it_and_outside_of_a_run_is_a_warning():
    told = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with reading_weights(True, tell=told.append):
            tell("note: a")
    with pytest.warns(UserWarning, match="note: b"):
        tell("note: b")
    assert told == ["note: a"]
