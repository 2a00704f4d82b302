"""Fixtures for all rooms. Nothing here imports TensorFlow before a test needs it."""

import dataclasses
import logging
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from segtrain import cli
from segtrain.datasets.shapes import build_shapes


@pytest.fixture(scope="session")
def two_devices():
    """Splits the CPU in two logical devices, so that mirrored training can be tested without a GPU.

    Has to come before TensorFlow is first used, so the rooms that use it ask for this automatically.
    """
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.config.list_logical_devices("CPU")


@pytest.fixture
def kept_logging(monkeypatch):
    """Gives logging back as it was. Hydra's set-up would close absl's handler, and that the stream pytest captures."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(logging, "shutdown", lambda *_: None)
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def segtrain(monkeypatch, capfd, tmp_path, kept_logging) -> Callable[..., SimpleNamespace]:
    """Runs a command line in the test's folder, in this process; returns its status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["segtrain"])
        capfd.readouterr()
        status = 0
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code or 0
        printed = capfd.readouterr()
        return SimpleNamespace(status=status, output=printed.out, errors=printed.err)

    return run


@pytest.fixture(scope="session")
def shapes_dataset():
    return build_shapes(num_train=24, num_val=10)


class EachOfItsSize:
    """One generated scene of each size. Implements `Split`."""

    def __init__(self, split, sizes):
        self.scenes = [
            build_shapes(num_train=1, num_val=1, height=height, width=width, seed=number).split(split)
            for number, (height, width) in enumerate(sizes)
        ]

    def __len__(self):
        return len(self.scenes)

    def name(self, index):
        return f"scene_{index}"

    def source(self, index):
        return f"generated scene_{index}"

    def sizes(self, index):
        return self.scenes[index].sizes(0)

    def read(self, index):
        return self.scenes[index].read(0)


@pytest.fixture(scope="session")
def shapes_of_many_sizes(shapes_dataset):
    """Eight training and five validation images, no two of one size; odd ones and thin ones among them."""
    train = [(16, 16), (20, 33), (33, 20), (16, 50), (41, 17), (24, 24), (24, 40), (19, 64)]
    val = [(17, 31), (40, 16), (32, 32), (16, 64), (25, 23)]
    splits = {"train": EachOfItsSize("train", train), "val": EachOfItsSize("val", val)}
    return dataclasses.replace(shapes_dataset, splits=splits)


class OneWrongLabel:
    """A split whose seventh mask holds a label that is no class. Implements `Split`."""

    def __init__(self, split):
        self.split = split

    def __getattr__(self, name):
        return getattr(self.split, name)

    def __len__(self):
        return len(self.split)

    def read(self, index):
        image, labels = self.split.read(index)
        return image, np.where(index == 6, np.uint8(99), labels)


@pytest.fixture(scope="session")
def shapes_with_a_wrong_label(shapes_dataset):
    """Ten validation images; `val_00006` is labelled 99 all over."""
    return dataclasses.replace(shapes_dataset, splits={"val": OneWrongLabel(shapes_dataset.split("val"))})
