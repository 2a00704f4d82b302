"""The U-Net of unpadded convolutions: its parameters, and sizes that close without cropping."""

import keras
import numpy as np
import pytest

from segtrain.models.unet import build_unet

# What each 3x3 convolution takes and emits, skips joined, in units of the width; the image and the classes apart.
DOWN = [(1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]
UP = [(8, 4), (8, 4), (4, 2), (4, 2), (2, 1), (2, 1), (1, 1)]


def expected_parameters(width, num_classes, channels):
    kernels = [(channels, width), *((width * taken, width * emitted) for taken, emitted in DOWN + UP)]
    return sum(9 * taken * emitted + emitted for taken, emitted in kernels) + width * num_classes + num_classes


def test_parameters_are_those_of_the_public_comparison():
    assert expected_parameters(64, 3, 3) == 5_460_163
    assert build_unet(num_classes=3, channels=3).count_params() == 5_460_163


@pytest.mark.parametrize(("width", "num_classes", "channels"), [(8, 21, 3), (4, 2, 1)])
def test_parameters_follow_the_settings(width, num_classes, channels):
    model = build_unet(num_classes=num_classes, channels=channels, width=width)
    assert model.count_params() == expected_parameters(width, num_classes, channels)


def test_batch_norm_adds_a_scale_and_a_shift_a_filter():
    model = build_unet(num_classes=3, channels=3, width=8, batch_norm=True)
    filters = 8 * (1 + sum(emitted for _, emitted in DOWN + UP))
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert trainable == expected_parameters(8, 3, 3) + 2 * filters
    order = [type(layer).__name__ for layer in model.layers]
    assert order.count("FusedBatchNormalization") == order.count("ReLU") == 14
    for place, kind in enumerate(order):
        if kind == "FusedBatchNormalization":
            assert order[place - 1].startswith("Conv2D")
            assert order[place + 1] == "ReLU"


def test_maps_have_the_published_sizes():
    model = build_unet(num_classes=3, channels=3, width=2)
    names = ["encoder1_conv2_relu", "encoder2_conv2_relu", "encoder3_conv2_relu", "bottom_conv1_relu"]
    names += ["upsample3", "upsample2", "upsample1", "decoder1_deconv2_relu"]
    maps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    sizes = [each.shape[1:3] for each in maps(np.zeros((1, 128, 128, 3), np.float32))]
    assert sizes == [(size, size) for size in (124, 60, 26, 11, 26, 60, 124, 128)]


def test_only_other_sizes_are_padded():
    """A size that closes: no padding. One that does not: what padding by hand gives, cropped."""
    model = build_unet(num_classes=3, channels=3, width=2)
    images = np.random.default_rng(0).uniform(0, 255, (1, 57, 50, 3)).astype(np.float32)
    padded = np.pad(images, [(0, 0), (0, 7), (0, 6), (0, 0)], mode="edge")
    assert model.get_layer("pad")(padded).shape == padded.shape
    np.testing.assert_allclose(model(images), model(padded)[:, :57, :50], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_initial_maps_are_neither_lost_nor_blown_up(batch_norm):
    """He's initial weights, with a transposed kernel's inputs taken for what they are, keep a map's scale."""
    keras.utils.set_random_seed(0)
    model = build_unet(num_classes=3, channels=3, width=32, batch_norm=batch_norm)
    ends = keras.Model(
        model.input, [model.get_layer(name).output for name in ("encoder1_conv1_relu", "decoder1_deconv2_relu")]
    )
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    first, last = (float(np.sqrt(np.mean(np.square(each)))) for each in ends(images, training=True))
    assert 0.2 < last / first < 5
