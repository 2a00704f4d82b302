"""Finished runs that no training made, whose networks are known, and the command."""

import contextlib
import io
import json
import logging
import sys
from types import SimpleNamespace
from unittest import mock

import pytest

from segtrain import cli
from segtrain.run_folder import RunFolder

PALETTE = [[0, 0, 0], [200, 0, 0], [0, 200, 0]]
CLASS_NAMES = ["red", "green", "blue"]


@pytest.fixture(autouse=True, scope="session")
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use, and other rooms need two."""


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Returns a function that makes the folder of a run that ended with a network: by itself the brightest channel."""
    import keras

    def make(image_size=None, resize="stretch", network=lambda images: images / 255, **facts) -> RunFolder:
        images = keras.Input((None, None, facts.get("channels", 3)))
        run = RunFolder(tmp_path_factory.mktemp("run"))
        run.best_model.parent.mkdir()
        keras.Model(images, network(images)).save(run.best_model)
        run.config.touch()
        facts = {"palette": PALETTE, "class_names": CLASS_NAMES, **facts}
        results = {"dataset": facts, "image_size": image_size, "resize": resize}
        run.results.write_text(json.dumps(results), encoding="utf-8")
        return run

    return make


@pytest.fixture(scope="session")
def bright_run(make_run) -> RunFolder:
    """A run of images as they are, whose class is the brightest channel."""
    return make_run()


@pytest.fixture(scope="session")
def convolution(make_run):
    """A network with random weights of three convolutions, which see 4 pixels to each side, and its run."""
    import keras

    keras.utils.set_random_seed(0)

    def network(images):
        x = images / 255
        for width, dilation in ((6, 1), (6, 2)):
            x = keras.layers.Conv2D(width, 3, dilation_rate=dilation, padding="same", activation="relu")(x)
        return 4 * keras.layers.Conv2D(3, 3, padding="same")(x)

    return make_run(network=network)


@pytest.fixture
def segtrain(tmp_path):
    """Returns a function that runs a command line in the test's folder, in this process."""

    @contextlib.contextmanager
    def kept_logging():
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        try:
            with mock.patch.object(logging, "shutdown"):
                yield
        finally:
            for handler in set(root.handlers) - set(handlers):
                handler.close()
            root.handlers[:], root.level = handlers, level

    def run(*arguments: object) -> SimpleNamespace:
        output, errors, status = io.StringIO(), io.StringIO(), 0
        with (
            kept_logging(),
            contextlib.chdir(tmp_path),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
            mock.patch.object(sys, "argv", ["segtrain"]),
        ):
            try:
                cli.main([*map(str, arguments), "hydra.run.dir=log"])
            except SystemExit as exit:
                status = exit.code
        return SimpleNamespace(status=status, output=output.getvalue(), errors=errors.getvalue())

    return run
