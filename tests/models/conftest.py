import pytest


@pytest.fixture(autouse=True)
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use."""


def conv(size, before, after, bias=True):
    return size * size * before * after + bias * after


def norm(width):
    return 4 * width


@pytest.fixture(scope="session")
def resnet50_parameters():
    """Parameters of ResNet50 (He et al. 2015, table 1) up to the stage of each stride, biases as keras has them."""
    counts, total, width = {}, conv(7, 3, 64) + norm(64), 64
    for stage, blocks in enumerate([3, 4, 6, 3]):
        f = 64 * 2**stage
        total += conv(1, width, 4 * f) + norm(4 * f)  # the first block's shortcut
        for _ in range(blocks):
            total += conv(1, width, f) + conv(3, f, f) + conv(1, f, 4 * f) + 2 * norm(f) + norm(4 * f)
            width = 4 * f
        counts[4 * 2**stage] = total
    return counts
