"""The plain encoder-decoders are their SegNets but for the up-sampling: what makes the comparison fair."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.models.encoder_decoder import build_encoder_decoder
from segtrain.models.encoder_decoder_small import build_encoder_decoder_small
from segtrain.models.segnet import build_segnet
from segtrain.models.segnet_small import build_segnet_small

PAIRS = [
    pytest.param(build_segnet, build_encoder_decoder, 5, id="paper"),
    pytest.param(build_segnet_small, build_encoder_decoder_small, 4, id="small"),
]
POOLING_AND_UPSAMPLING = {"MaxPoolWithIndices2D", "MaxUnpool2D", "MaxPooling2D", "UpSampling2D"}


def build(builder, **options):
    """Small, and with dropout, whose seed is drawn between the weights'."""
    keras.utils.set_random_seed(7)
    return builder(num_classes=5, channels=3, **{"width": 4, "dropout": 0.1} | options)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize(("segnet", "plain", "num_levels"), PAIRS)
def test_pair_differs_in_pooling_and_upsampling_alone(segnet, plain, num_levels):
    with_indices, without = build(segnet), build(plain)
    assert kinds(without).count("MaxPooling2D") == kinds(without).count("UpSampling2D") == num_levels
    assert {"MaxPoolWithIndices2D", "MaxUnpool2D"}.isdisjoint(kinds(without))
    swapped = {"MaxPoolWithIndices2D": "MaxPooling2D", "MaxUnpool2D": "UpSampling2D"}
    assert [swapped.get(kind, kind) for kind in kinds(with_indices)] == kinds(without)
    for one, other in zip(with_indices.layers, without.layers, strict=True):
        if type(one).__name__ not in POOLING_AND_UPSAMPLING:
            assert one.get_config() == other.get_config()


@pytest.mark.parametrize(("segnet", "plain", "num_levels"), PAIRS)
def test_pair_starts_from_the_same_weights(segnet, plain, num_levels):
    with_indices, without = build(segnet).get_weights(), build(plain).get_weights()
    assert len(with_indices) == len(without)
    assert sum(weights.std() > 0 for weights in with_indices) >= 18  # the kernels are random
    for one, other in zip(with_indices, without, strict=True):
        np.testing.assert_array_equal(one, other)


def test_small_pair_has_the_same_number_of_parameters_by_default():
    default = {"num_classes": 22, "channels": 3}
    assert build_segnet_small(**default).count_params() == build_encoder_decoder_small(**default).count_params()


def test_parameters_of_the_public_comparison_with_its_authors_widths():
    """22 classes, f=32, and 2 x 2f in the third decoder stage: 3x3 kernels, biases, four numbers of BatchNorm a map."""
    widths = [3, *2 * [32], *2 * [64], *3 * [128], *3 * [256], *3 * [256]]
    widths += [*3 * [128], *3 * [64], *2 * [64], *2 * [32]]
    units = sum(9 * before * after + 5 * after for before, after in zip(widths, widths[1:], strict=False))
    by_hand = units + 9 * 32 * 22 + 22
    assert by_hand == 4_537_462
    model = build_encoder_decoder_small(num_classes=22, channels=3, width=32, wide_third_decoder=True)
    assert model.count_params() == by_hand


@pytest.mark.parametrize("builder", [build_encoder_decoder, build_encoder_decoder_small])
@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_upsampling_is_the_one_asked_for(builder, upsampling):
    model = build(builder, upsampling=upsampling)
    layers = [layer for layer in model.layers if layer.name.startswith("upsample")]
    assert len(layers) in (4, 5)
    # On a ramp, nearest repeats what bilinear goes half-way with.
    ramp = np.tile(np.arange(4, dtype=np.float32)[None, None, :, None], (1, 4, 1, 1))
    doubled = layers[0](ramp).numpy()[0, 0, :, 0]
    expected = [0, 0, 1, 1, 2, 2, 3, 3] if upsampling == "nearest" else [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    np.testing.assert_allclose(doubled, expected)
    # Sizes known only when called, which Keras' own bilinear layer refuses.
    sizes_unknown = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])
    assert sizes_unknown(np.zeros((1, 33, 47, 3), np.float32)).shape == (1, 33, 47, 5)
