"""What is said when memory does not last: of TensorFlow's own error, raised by a tensor that no machine holds."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from segtrain.out_of_memory import OutOfMemoryError, tells_of_memory

SETTINGS = SimpleNamespace(batch_size=8, image_size=[360, 480])


@pytest.fixture(autouse=True)
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use."""


def allocate_with_tensorflow(settings):
    import tensorflow as tf

    @tf.function
    def allocate(size):
        return tf.reduce_sum(tf.zeros([size, size, 64]))

    return allocate(tf.constant(2_000_000))


def allocate_with_numpy(settings):
    return np.zeros((10**7, 10**7))


@pytest.mark.parametrize(
    ("allocate", "reason"),
    [
        (allocate_with_tensorflow, "OOM when allocating tensor with shape[2000000,2000000,64]"),
        (allocate_with_numpy, "Unable to allocate 728. TiB for an array with shape (10000000, 10000000)"),
    ],
)
def test_says_what_was_tried_and_what_to_lower(allocate, reason):
    with pytest.raises(OutOfMemoryError) as error:
        tells_of_memory(allocate)(SETTINGS)
    message = str(error.value)
    assert message.startswith("Memory does not last for batch_size=8 with image_size=[360,480]")
    assert reason in message
    assert "Type batch_size=4, or a smaller image_size, or dataset.cache=disk" in message
    assert "\n" not in message


def test_a_batch_of_one_is_not_halved():
    with pytest.raises(OutOfMemoryError) as error:
        tells_of_memory(allocate_with_numpy)(SimpleNamespace(batch_size=1, image_size=None))
    assert "batch_size=1 with image_size=[any,any]" in str(error.value)
    assert not re.search("batch_size=0", str(error.value))


@pytest.mark.parametrize(
    ("batch_size", "one_by_one", "words"),
    [
        (8, False, r"for batch_size=8 .*\. Type batch_size=4\."),
        (None, False, r"for batch_size=\(the run\) .*\. Type batch_size=1\."),
        (1, False, r"for batch_size=1 .*\. Type scale=original sliding_window=\[HEIGHT,WIDTH\]\."),
        (None, True, r"for whole images .*\. Type a sliding_window=\[HEIGHT,WIDTH\] that is smaller\."),
    ],
)
def test_an_evaluation_is_told_what_it_can_lower(batch_size, one_by_one, words):
    settings = SimpleNamespace(batch_size=batch_size, sees_images_one_by_one=one_by_one)
    with pytest.raises(OutOfMemoryError, match=f"^Memory does not last {words}$"):
        tells_of_memory(allocate_with_numpy)(settings)


def test_other_errors_are_left_alone():
    def divide(settings):
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        tells_of_memory(divide)(SETTINGS)
