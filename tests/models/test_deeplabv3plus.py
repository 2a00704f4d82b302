"""DeepLabv3+."""

import importlib

import keras
import numpy as np
import pytest

from segtrain.models.deeplabv3plus import build_deeplabv3plus, dilated
from segtrain.models.encoders.resnet50 import build_resnet50

FIRST = ["vgg16", "mobilenet_v2"]  # the others are long
LONG = [
    *("resnet50", "resnet101", "resnet50_v2", "mobilenet_v3_large"),
    *("efficientnet_b0", "efficientnet_v2_b0", "densenet121", "convnext_tiny"),
]


def separable(before, after):
    return 9 * before + 4 * before + before * after + 4 * after


def test_parameters_are_those_of_its_widths(resnet50_parameters):
    model = build_deeplabv3plus(num_classes=21, channels=3, encoder=build_resnet50)
    pyramid = 2048 * 256 + 4 * 256 + 3 * separable(2048, 256)
    whole = 2048 * 256 + 256 + 256 * 256
    pyramid += whole + 4 * 256 * 256 + 4 * 256
    decoder = 256 * 48 + 4 * 48 + separable(256 + 48, 256) + separable(256, 256) + 256 * 21 + 21
    assert model.count_params() == resnet50_parameters[32] + pyramid + decoder


@pytest.mark.parametrize(
    "name",
    [*FIRST, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)],
)
def test_a_dilated_encoder_sees_what_the_encoder_sees_at_twice_as_many_places(name):
    """Away from the edge, every other pixel of its map is one of the encoder's map."""
    keras.utils.set_random_seed(0)
    builder = getattr(importlib.import_module(f"segtrain.models.encoders.{name}"), f"build_{name}")
    encoder = builder(channels=3).reading(4, 32)
    images = np.random.default_rng(0).uniform(0, 255, (1, 320, 320, 3)).astype(np.float32)
    skip, expected = (each.numpy() for each in encoder.model(images))
    dilated_skip, found = (each.numpy() for each in dilated(encoder)(images))
    assert found.shape == (1, 20, 20, expected.shape[-1])
    np.testing.assert_allclose(dilated_skip, skip, rtol=1e-4, atol=1e-4 * np.abs(skip).max())
    middle = slice(4, 6)
    distances = [
        np.abs(found[:, at::2, at::2][:, middle, middle] - expected[:, middle, middle]).mean() for at in (0, 1)
    ]
    # Which of them depends on the side at which a family pads.
    assert min(distances) < 0.002 * expected.std() < max(distances)
