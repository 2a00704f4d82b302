"""SegNet's decoder on ResNet50 with its indices."""

import functools

import keras
import numpy as np
import pytest

from segtrain.layers import MaxPoolWithIndices2D
from segtrain.models.encoders.mobilenet_v2 import build_mobilenet_v2
from segtrain.models.encoders.resnet50 import build_resnet50
from segtrain.models.segnet_resnet50_indices import build_segnet_resnet50_indices, pooled_with_indices


def conv(size, before, after, bias=True):
    return size * size * before * after + bias * after


def norm(width):
    return 4 * width


@pytest.fixture(scope="module")
def network(two_devices):
    """The network of keras.applications."""
    keras.utils.set_random_seed(3)
    return keras.applications.ResNet50(include_top=False, weights=None, input_shape=(None, None, 3))


@pytest.fixture(scope="module")
def build_loaded(network, tmp_path_factory):
    """Builds the encoder with that network's weights, from a file."""
    path = tmp_path_factory.mktemp("weights") / "resnet50.weights.h5"
    network.save_weights(path)
    return functools.partial(build_resnet50, weights=str(path))


def part_of(network, first, last):
    return keras.Model(network.get_layer(first).input, network.get_layer(last).output)


def doubled(x):
    return np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)


def test_parameters_are_those_of_its_widths(resnet50_parameters):
    model = build_segnet_resnet50_indices(num_classes=21, channels=3, encoder=build_resnet50)
    widths = [1024, 512, 256, 64, 64]
    decoder = sum(conv(3, a, b) + norm(b) for a, b in zip(widths, widths[1:], strict=False))
    assert model.count_params() == resnet50_parameters[16] + decoder + conv(3, 64, 21)


def test_it_is_the_network_with_poolings_for_strides_and_its_weights(network, build_loaded):
    """A 1x1 convolution that strides reads one pixel of four: of a pooled map doubled, each maximum once."""
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3)).astype(np.float32)
    found, *indices = pooled_with_indices(build_loaded(channels=3).reading(16))(images)
    prepared = keras.applications.resnet.preprocess_input(images.copy())

    stem = part_of(network, "conv1_pad", "conv1_relu")(prepared)
    pooled, first = MaxPoolWithIndices2D()(stem)
    pooled, second = MaxPoolWithIndices2D()(part_of(network, "conv2_block1_1_conv", "conv2_block3_out")(pooled))
    conv3 = part_of(network, "conv3_block1_1_conv", "conv3_block4_out")(doubled(pooled))
    pooled, third = MaxPoolWithIndices2D()(conv3)
    expected = part_of(network, "conv4_block1_1_conv", "conv4_block6_out")(doubled(pooled))

    assert [each.shape[-1] for each in indices] == [64, 256, 512]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    for one, other in zip(indices, [first, second, third], strict=True):
        # Rounding may turn a tie that is nearly one.
        assert np.mean(one.numpy() == other.numpy()) > 0.999


def test_the_smallest_map_is_unpooled_by_the_last_indices():
    model = build_segnet_resnet50_indices(num_classes=3, channels=3, encoder=build_resnet50)
    widths = [model.get_layer(f"unpool{number}").input[1].shape[-1] for number in (1, 2, 3)]
    assert widths == [512, 256, 64]


def test_an_encoder_that_is_no_resnet_is_refused():
    with pytest.raises(ValueError, match=r"Received: mobilenet_v2\. Type model/encoder=resnet50"):
        build_segnet_resnet50_indices(num_classes=3, channels=3, encoder=build_mobilenet_v2)
