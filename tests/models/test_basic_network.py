"""SegNet-Basic and the other networks of the SegNet paper's Table 1: parameters by hand, and what tells them apart."""

import importlib
from collections import Counter

import keras
import numpy as np
import pytest

CLASSES = 11
# 7x7 kernels between 64 maps, a scale and a shift a map, no biases.
CONVOLUTION = 7 * 7 * 64 * 64
ENCODER = 7 * 7 * 3 * 64 + 3 * CONVOLUTION + 4 * 2 * 64
SCORE = 64 * CLASSES + CLASSES
ENLARGING = 4 * (8 * 8 * CLASSES**2 + 2 * CLASSES)
ENLARGING_ALL = 4 * (8 * 8 * 64**2 + 2 * 64)
# By hand, and in millions as in Table 1, where all figures are multiples of 0.025.
TABLE = {
    "bilinear": (ENCODER + SCORE, 0.625),
    "segnet_basic": (ENCODER + 4 * (CONVOLUTION + 2 * 64) + SCORE, 1.425),
    "encoder_addition": (ENCODER + 4 * (CONVOLUTION + 2 * 64) + SCORE, 1.425),
    "single_channel_decoder": (ENCODER + 4 * (7 * 7 * 64 + 2 * 64) + SCORE, 0.625),
    "fcn_basic": (ENCODER + ENLARGING + 4 * SCORE, 0.65),
    "fcn_basic_no_addition": (ENCODER + ENLARGING + SCORE, 0.65),
    "fcn_basic_no_dimension_reduction": (ENCODER + ENLARGING_ALL + SCORE, 1.625),
    "fcn_basic_no_addition_no_dimension_reduction": (ENCODER + ENLARGING_ALL + SCORE, 1.625),
}
UNPOOLING = ["segnet_basic", "encoder_addition", "single_channel_decoder"]
every_variant = pytest.mark.parametrize("name", TABLE)


def build(name, **options):
    builder = getattr(importlib.import_module(f"segtrain.models.{name}"), f"build_{name}")
    return builder(**{"num_classes": CLASSES, "channels": 3} | options)


def counts(model):
    return Counter(type(layer).__name__ for layer in model.layers)


def fortieths(number):
    return round(number / 25_000) / 40


@every_variant
def test_parameters_are_those_of_table_1(name):
    by_hand, published = TABLE[name]
    model = build(name)
    assert sum(int(np.prod(variable.shape)) for variable in model.trainable_variables) == by_hand
    if name.endswith("no_dimension_reduction"):  # 1.66: the paper's figure is the sum of its rounded parts
        assert fortieths(ENCODER + SCORE) + 4 * fortieths(ENLARGING_ALL / 4) == published
    else:
        assert fortieths(by_hand) == published


@every_variant
def test_encoder_is_the_same_in_all_and_its_image_normalised(name):
    model = build(name, width=4)
    encoder = [layer for layer in model.layers if layer.name.startswith("encoder")]
    assert [layer.name.partition("_")[2] for layer in encoder] == 4 * ["conv", "norm", "relu"]
    convolutions = [layer for layer in encoder if isinstance(layer, keras.layers.Conv2D)]
    assert {(layer.kernel_size, layer.filters, layer.use_bias) for layer in convolutions} == {((7, 7), 4, False)}
    assert counts(model)["LocalContrastNormalization"] == 1
    assert counts(model)["ReLU"] == 4  # none in a decoder
    scaled = counts(build(name, width=4, local_contrast=False))
    assert (scaled["LocalContrastNormalization"], scaled["Rescaling"]) == (0, 1)


@pytest.mark.parametrize("name", TABLE)
def test_what_is_kept_for_the_decoder(name):
    kinds = counts(build(name, width=4))
    keeps_indices = name in UNPOOLING
    assert kinds["MaxPoolWithIndices2D"] == kinds["MaxUnpool2D"] == 4 * keeps_indices
    assert kinds["MaxPooling2D"] == 4 * (not keeps_indices)
    adds = {"encoder_addition": 4, "fcn_basic": 3, "fcn_basic_no_dimension_reduction": 3}
    assert kinds["Add"] == adds.get(name, 0)
    assert kinds["Conv2DTranspose"] == 4 * name.startswith("fcn")
    assert kinds["DepthwiseConv2D"] == 4 * (name == "single_channel_decoder")


@pytest.mark.parametrize("name", UNPOOLING)
def test_each_unpooling_uses_the_indices_of_its_own_level(name):
    model = build(name, width=4)
    for level in range(1, 5):
        assert model.get_layer(f"unpool{level}").input[1] is model.get_layer(f"pool{level}").output[1]


def added_to_decoders(model):
    """Returns by the name of each addition the names of the layers whose outputs it adds."""
    made_by = {id(layer.output): layer.name for layer in model.layers if not isinstance(layer.output, list | tuple)}
    adds = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    return {layer.name: [made_by[id(each)] for each in layer.input] for layer in adds}


def test_fcn_decoders_add_what_the_level_before_has_pooled():
    """The SegNet paper's Fig. 3: "This feature map is the output of the max-pooling layer (includes sub-sampling)"."""
    assert added_to_decoders(build("fcn_basic_no_dimension_reduction", width=4)) == {
        "add4": ["crop4", "pool3"],
        "add3": ["crop3", "pool2"],
        "add2": ["crop2", "pool1"],
    }
    reduced = build("fcn_basic", width=4)
    assert added_to_decoders(reduced) == {
        "add4": ["crop4", "score_pool3"],
        "add3": ["crop3", "score_pool2"],
        "add2": ["crop2", "score_pool1"],
    }
    for pool, scored in [
        ("pool1", "score_pool1"),
        ("pool2", "score_pool2"),
        ("pool3", "score_pool3"),
        ("pool4", "score"),
    ]:
        assert reduced.get_layer(scored).input is reduced.get_layer(pool).output


def test_encoder_addition_adds_what_the_pooling_of_its_own_level_sees():
    assert added_to_decoders(build("encoder_addition", width=4)) == {
        f"add{level}": [f"decoder{level}_norm", f"encoder{level}_relu"] for level in range(1, 5)
    }


@pytest.mark.parametrize("reduced", [True, False])
def test_an_fcn_without_addition_begins_as_interpolation(reduced):
    """With the weights of `bilinear` and kernels that are bilinear at first, away from the border."""
    keras.utils.set_random_seed(0)
    interpolating = build("bilinear", width=4)
    name = "fcn_basic_no_addition" + ("" if reduced else "_no_dimension_reduction")
    model = build(name, width=4)
    for layer in interpolating.layers:
        if layer.weights:
            other = "logits" if layer.name == "score" and not reduced else layer.name
            model.get_layer(other).set_weights(layer.get_weights())
    image = np.random.default_rng(0).uniform(0, 255, (1, 128, 128, 3)).astype(np.float32)
    logits, expected = model(image).numpy(), interpolating(image).numpy()
    inner = slice(40, -40)
    # Four times twice is smoother than sixteen times at once, but keeps what is constant and where things are.
    assert np.corrcoef(logits[:, inner, inner].ravel(), expected[:, inner, inner].ravel())[0, 1] > 0.98
    np.testing.assert_allclose(logits[:, inner, inner].mean(), expected[:, inner, inner].mean(), rtol=0.1, atol=0.02)
