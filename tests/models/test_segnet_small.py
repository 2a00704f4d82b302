"""The SegNet of the public 64x64 comparison."""

from collections import Counter

from segtrain.models.segnet_small import build_segnet_small


def test_parameters_are_those_of_the_public_comparison():
    """f=32 and 22 classes: the network its author describes, VGG-like units in series."""
    assert build_segnet_small(num_classes=22, channels=3, width=32).count_params() == 4_481_846


def test_layers():
    model = build_segnet_small(num_classes=5, channels=3, width=4)
    counts = Counter(type(layer).__name__ for layer in model.layers)
    assert counts["MaxPoolWithIndices2D"] == counts["MaxUnpool2D"] == 4
    assert counts["UpSampling2D"] == counts["MaxPooling2D"] == 0
    widths = [layer.filters for layer in model.layers if type(layer).__name__ == "Conv2D"]
    encoder = [4, 4, 8, 8, 16, 16, 16, 32, 32, 32]
    assert widths == [*encoder, 32, 32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 4, 5]
