"""Fixtures for all rooms. Nothing here imports TensorFlow before a test needs it."""

import pytest

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


@pytest.fixture(scope="session")
def shapes_dataset():
    return build_shapes(num_train=24, num_val=10)
