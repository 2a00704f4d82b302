"""SegNet as in the paper: VGG16's thirteen convolutions, their mirror image, five poolings and five unpoolings."""

from collections import Counter

import pytest

from segtrain.models.segnet import build_segnet

NUM_CLASSES = 12
ENCODER = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
DECODER = [512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64]  # the thirteenth is the classifier


@pytest.fixture(scope="module")
def model(two_devices):
    return build_segnet(num_classes=NUM_CLASSES, channels=3)


def test_layers_are_the_papers(model):
    kinds = [type(layer).__name__ for layer in model.layers]
    counts = Counter(kinds)
    assert counts["Conv2D"] == 13 + 13
    assert counts["FusedBatchNormalization"] == counts["ReLU"] == 13 + 12
    assert counts["MaxPoolWithIndices2D"] == counts["MaxUnpool2D"] == 5
    assert counts["UpSampling2D"] == counts["MaxPooling2D"] == counts["Dropout"] == 0
    # All poolings come before all unpoolings, thirteen convolutions before the first of these.
    assert kinds[: kinds.index("MaxUnpool2D")].count("MaxPoolWithIndices2D") == 5
    assert kinds[: kinds.index("MaxUnpool2D")].count("Conv2D") == 13
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.filters for layer in convolutions] == [*ENCODER, *DECODER, NUM_CLASSES]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}


def test_parameters_are_those_of_its_widths(model):
    """A 3x3 kernel and its bias, and four numbers of BatchNorm a filter; the classifier has no BatchNorm."""
    widths = [3, *ENCODER, *DECODER]
    units = sum(9 * before * after + after + 4 * after for before, after in zip(widths, widths[1:], strict=False))
    classifier = 9 * DECODER[-1] * NUM_CLASSES + NUM_CLASSES
    assert units + classifier == 29_465_804
    assert model.count_params() == 29_465_804


def test_each_unpooling_uses_the_indices_of_its_own_level(model):
    """The first pooling's indices go to the last unpooling, and so on inwards."""
    pools = [layer for layer in model.layers if type(layer).__name__ == "MaxPoolWithIndices2D"]
    unpools = [layer for layer in model.layers if type(layer).__name__ == "MaxUnpool2D"]
    for pool, unpool in zip(pools, reversed(unpools), strict=True):
        assert unpool.input[1] is pool.output[1]
