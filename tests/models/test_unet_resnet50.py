"""U-Net on ResNet50, as in the public comparison."""

import pytest

from segtrain.models.encoders.resnet50 import build_resnet50
from segtrain.models.unet_resnet50 import build_unet_resnet50


def conv(size, before, after, bias=True):
    return size * size * before * after + bias * after


def norm(width):
    return 4 * width


@pytest.fixture(scope="module")
def model(two_devices):
    return build_unet_resnet50(num_classes=3, channels=3, encoder=build_resnet50)


def test_parameters_are_those_of_its_widths(model, resnet50_parameters):
    decoder, before = 0, 2048
    for width, skip in zip([1024, 512, 256, 64], [1024, 512, 256, 64], strict=True):
        decoder += conv(1, before, width) + conv(3, width + skip, width) + conv(3, width, width) + 3 * norm(width)
        before = width
    assert resnet50_parameters[32] == 23_587_712  # as keras counts them
    assert model.count_params() == resnet50_parameters[32] + decoder + conv(3, 64, 3)


def test_logits_are_of_half_the_size_before_they_are_enlarged(model):
    classes, enlarge = model.get_layer("classes"), model.get_layer("enlarge")
    assert enlarge.input is classes.output
    assert enlarge.times == 2


def test_each_stage_joins_the_map_of_its_size(model):
    """From the smallest: conv4_block6_out, conv3_block4_out, conv2_block3_out, conv1_relu."""
    inner = model.get_layer("resnet50")
    names = ["conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"]
    assert [inner.get_layer(name).output is output for name, output in zip(names, inner.outputs, strict=True)] == [
        True
    ] * 5
    joined = [model.get_layer(f"decoder{stage}_join").input[1].shape[-1] for stage in range(1, 5)]
    assert joined == [1024, 512, 256, 64]
