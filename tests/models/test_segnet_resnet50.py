"""SegNet's decoder on ResNet50 as first published."""

from segtrain.models.encoders.resnet50 import build_resnet50
from segtrain.models.segnet_resnet50 import build_segnet_resnet50


def conv(size, before, after, bias=True):
    return size * size * before * after + bias * after


def norm(width):
    return 4 * width


def test_parameters_are_those_of_its_widths_and_the_last_stage_is_not_in_it(resnet50_parameters):
    model = build_segnet_resnet50(num_classes=21, channels=3, encoder=build_resnet50)
    widths = [1024, 512, 256, 128, 64]
    decoder = sum(conv(3, a, b) + norm(b) for a, b in zip(widths, widths[1:], strict=False))
    assert model.count_params() == resnet50_parameters[16] + decoder + conv(3, 64, 21)
    assert not [layer.name for layer in model.get_layer("resnet50").layers if layer.name.startswith("conv5")]
