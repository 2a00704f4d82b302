import pytest


@pytest.fixture(autouse=True)
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use."""
