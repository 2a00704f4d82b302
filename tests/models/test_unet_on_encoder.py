"""U-Net on any encoder."""

import functools

import keras
import numpy as np
import pytest

from segtrain.models.encoders.convnext_tiny import build_convnext_tiny
from segtrain.models.encoders.mobilenet_v2 import build_mobilenet_v2
from segtrain.models.unet_on_encoder import build_unet_on_encoder


def conv(size, before, after, bias=True):
    return size * size * before * after + bias * after


def norm(width):
    return 4 * width


def test_parameters_are_the_encoders_and_those_of_the_widths():
    model = build_unet_on_encoder(num_classes=5, channels=3, encoder=build_mobilenet_v2)
    encoder = keras.applications.MobileNetV2(include_top=False, weights=None).count_params()
    decoder, before = 0, 1280
    for width, skip in zip([256, 128, 64, 32], [576, 192, 144, 96], strict=True):
        decoder += conv(1, before, width) + conv(3, width + skip, width) + conv(3, width, width) + 3 * norm(width)
        before = width
    assert model.count_params() == encoder + decoder + conv(3, 32, 5)


def test_an_encoder_without_stride_2_needs_a_width_less_and_is_enlarged_four_times():
    options = {"num_classes": 5, "channels": 3, "encoder": build_convnext_tiny}
    with pytest.raises(ValueError, match="a number for each map that convnext_tiny has to join, 3"):
        build_unet_on_encoder(**options, widths=[4, 4, 4, 4])
    model = build_unet_on_encoder(**options, widths=[4, 4, 4])
    assert model(np.zeros((1, 33, 40, 3), np.float32)).shape == (1, 33, 40, 5)


def test_the_encoder_is_told_the_channels():
    encoder = functools.partial(build_mobilenet_v2, alpha=0.35)
    model = build_unet_on_encoder(num_classes=5, channels=4, encoder=encoder, widths=[4, 4, 4, 4])
    assert model.input_shape == model.get_layer("mobilenet_v2").input_shape == (None, None, None, 4)
