"""Sizes, parameters, FLOPs and memory of a network's stages: by hand, and against TensorFlow's own count."""

import functools
import importlib
import re

import keras
import pytest
import tensorflow as tf
from keras import layers

from segtrain.benchmarks.device import count_flops
from segtrain.models.costs import stage_costs
from segtrain.models.encoders.mobilenet_v2 import build_mobilenet_v2
from segtrain.models.segnet_small import build_segnet_small
from segtrain.models.unet import build_unet
from segtrain.models.unet_on_encoder import build_unet_on_encoder


def image(channels=3):
    return keras.Input((None, None, channels))


def only_stage(model, size=(8, 12)):
    (stage,) = stage_costs(model, size)
    return stage


def test_a_convolution_is_two_operations_for_each_multiply_add():
    x = image()
    stage = only_stage(keras.Model(x, layers.Conv2D(7, (3, 5), padding="same", name="conv")(x)))
    assert stage.flops == 2 * 3 * 5 * 3 * 7 * 8 * 12
    assert stage.parameters == 3 * 5 * 3 * 7 + 7
    assert stage.activation_bytes == 4 * 8 * 12 * 7
    assert (stage.output_size, stage.layers) == ((8, 12, 7), ["conv"])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (lambda: layers.Conv2D(4, 3), 2 * 9 * 6 * 4 * (6 * 10)),
        (lambda: layers.Conv2D(4, 3, padding="same", groups=2), 2 * 9 * 3 * 4 * (8 * 12)),
        (lambda: layers.DepthwiseConv2D(5, padding="same", depth_multiplier=2), 2 * 25 * 6 * 2 * (8 * 12)),
        (lambda: layers.SeparableConv2D(4, 3, padding="same"), 2 * (9 * 6 + 6 * 4) * (8 * 12)),
        (lambda: layers.Dense(5), 2 * 6 * 5 * (8 * 12)),
        (lambda: layers.BatchNormalization(), 0),
    ],
)
def test_other_layers(layer, expected):
    x = image(6)
    assert only_stage(keras.Model(x, layer()(x))).flops == expected


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_transposed_convolution_applies_its_kernel_to_what_it_takes(stride):
    """Each position that it takes is multiplied with the kernel and added to the map: by hand, nothing else is."""
    x = image(6)
    down = layers.MaxPooling2D(stride, name="pool")(x)
    up = layers.Conv2DTranspose(5, 8, strides=stride, padding="same", name="up")(down)
    stages = stage_costs(keras.Model(x, up), (8, 12))
    assert sum(stage.flops for stage in stages) == 2 * 64 * 6 * 5 * (8 // stride) * (12 // stride)


def test_flops_are_those_of_tensorflows_profiler():
    """It also counts normalisation, pooling and unpooling: a hundredth here."""
    model = build_segnet_small(num_classes=5, channels=3, width=32)
    step = tf.function(lambda images, labels: (model(images, training=False), labels))
    theirs = count_flops(step, tf.zeros((1, 64, 96, 3)), tf.zeros(()))
    ours = sum(stage.flops for stage in stage_costs(model, (64, 96)))
    assert 0.97 * theirs < ours <= theirs


def test_stages_of_a_u_net_by_hand():
    """Its unpadded convolutions take rims off, which is no new stage; the sizes are the published ones."""
    stages = stage_costs(build_unet(num_classes=3, channels=3), (128, 128))
    assert [(stage.name, stage.output_size) for stage in stages] == [
        ("down 1/1", (124, 124, 64)),
        ("down 1/2", (60, 60, 128)),
        ("down 1/4", (26, 26, 256)),
        ("bottom 1/8", (13, 13, 256)),
        ("up 1/4", (30, 30, 128)),
        ("up 1/2", (62, 62, 64)),
        ("up 1/1", (128, 128, 3)),
    ]
    assert sum(stage.parameters for stage in stages) == 5_460_163
    assert stages[0].flops == 2 * 9 * (3 * 64 * 126**2 + 64 * 64 * 124**2)
    assert stages[3].flops == 2 * 9 * (256 * 512 * 11**2 + 512 * 256 * 11**2)
    assert stages[1].activation_bytes == 4 * (62**2 * 64 + 4 * 60**2 * 128)


@functools.cache
def unet_on_mobilenet(logits_at):
    return build_unet_on_encoder(
        num_classes=5, channels=3, encoder=build_mobilenet_v2, widths=[4, 4, 4, 4], logits_at=logits_at
    )


@pytest.mark.parametrize("size", [(64, 96), (33, 47)])
def test_logits_that_are_not_enlarged_leave_out_the_last_stage(size):
    usual, native = (stage_costs(unet_on_mobilenet(at), size) for at in ("input", "native"))
    assert [stage.name for stage in native] == [stage.name for stage in usual if stage.name != "up 1/1"]
    assert native[-1].name == "up 1/2"
    assert native[-1].output_size == ((size[0] + 1) // 2, (size[1] + 1) // 2, 5)
    for total in ("parameters", "flops"):
        assert sum(getattr(stage, total) for stage in native) == sum(getattr(stage, total) for stage in usual) > 0


@pytest.mark.parametrize("size", [(33, 47), (96, 128)])
def test_stages_of_a_segnet_at_any_size(size):
    model = build_segnet_small(num_classes=5, channels=3, width=4)
    stages = stage_costs(model, size)
    ways = [*(f"down 1/{2**level}" for level in range(4)), "bottom 1/16", *(f"up 1/{2**n}" for n in (3, 2, 1, 0))]
    assert [stage.name for stage in stages] == ways
    sizes = [size]
    for _ in range(4):
        sizes.append(tuple((length + 1) // 2 for length in sizes[-1]))
    assert [stage.output_size[:2] for stage in stages] == [*sizes, *sizes[-2::-1]]
    assert sum(stage.parameters for stage in stages) == model.count_params()
    assert [name for stage in stages for name in stage.layers] == [layer.name for layer in model.layers[1:]]
    # A pooling emits its maxima in 4 bytes each and their indices in one.
    pooled = stages[1].activation_bytes - 4 * sizes[1][0] * sizes[1][1] * (6 * 8)
    assert pooled == 5 * sizes[1][0] * sizes[1][1] * 4


def test_a_layer_used_twice_has_its_weights_once_and_its_work_twice():
    x = image()
    shared = layers.Conv2D(3, 3, padding="same")
    stage = only_stage(keras.Model(x, shared(shared(x))))
    assert stage.parameters == shared.count_params()
    assert stage.flops == 2 * 2 * 9 * 3 * 3 * 8 * 12


@pytest.mark.parametrize("rescaled", [False, True])
def test_a_model_inside_the_model_counts_by_its_layers(rescaled):
    x = image()
    half = layers.Conv2D(4, 3, strides=2, padding="same", name="half")(x)
    quarter = layers.Conv2D(5, 3, strides=2, padding="same", name="quarter")(half)
    encoder = keras.Model(x, [quarter, half], name="encoder")
    images = image()
    low, high = encoder(layers.Rescaling(1 / 255)(images) if rescaled else images)
    joined = layers.Concatenate(name="join")([layers.UpSampling2D(2, name="double")(low), high])
    stages = stage_costs(keras.Model(images, joined), (8, 12))
    assert [(stage.name, stage.layers[-1]) for stage in stages if stage.flops or "up" in stage.name] == [
        ("down 1/2", "half"),
        ("bottom 1/4", "quarter"),
        ("up 1/2", "join"),
    ]
    assert sum(stage.parameters for stage in stages) == encoder.count_params()
    assert stages[-1].output_size == (4, 6, 9)


def test_operations_have_a_place_too():
    x = image()
    stage = only_stage(keras.Model(x, layers.Conv2D(4, 1, name="conv")(keras.ops.flip(x * 2.0, axis=-1))))
    assert (len(stage.layers), stage.layers[-1], stage.parameters) == (3, "conv", 16)
    assert stage.activation_bytes == 4 * 8 * 12 * (3 + 3 + 4)


def test_what_a_global_pooling_leaves_is_no_stage_of_its_own():
    """Squeeze and excitation, as MobileNet and EfficientNet have it, at the top of the network."""
    x = image(4)
    weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.Conv2D(4, 1, activation="sigmoid")(weights)
    weighed = layers.Multiply()([x, weights])
    stages = stage_costs(keras.Model(x, layers.MaxPooling2D(2)(weighed)), (8, 12))
    assert [(stage.name, stage.output_size) for stage in stages] == [
        ("down 1/1", (8, 12, 4)),
        ("bottom 1/2", (4, 6, 4)),
    ]
    assert stages[0].flops == 2 * 4 * 4


def test_a_rim_for_the_next_stage_is_not_the_size_of_this_one():
    x = image()
    padded = layers.ZeroPadding2D(1)(layers.Conv2D(4, 3, padding="same")(x))
    stages = stage_costs(keras.Model(x, layers.Conv2D(5, 3, strides=2)(padded)), (8, 12))
    assert [stage.output_size for stage in stages] == [(8, 12, 4), (4, 6, 5)]


def test_half_precision_takes_half_the_memory():
    x = image()
    whole, half = (
        only_stage(keras.Model(x, layers.Conv2D(4, 3, padding="same", dtype=dtype)(x)))
        for dtype in ("float32", "mixed_bfloat16")
    )
    assert whole.activation_bytes == 2 * half.activation_bytes == 4 * 8 * 12 * 4


@pytest.mark.parametrize("name", ["encoder_decoder", "fcn_basic", "bilinear", "single_channel_decoder"])
def test_ways_go_down_once_and_up_once(name):
    builder = getattr(importlib.import_module(f"segtrain.models.{name}"), f"build_{name}")
    stages = stage_costs(builder(num_classes=5, channels=3, width=4), (50, 70))
    ways = " ".join(stage.name.partition(" ")[0] for stage in stages)
    assert re.fullmatch(r"(down )+bottom( up)+", ways)
    assert stages[-1].output_size == (50, 70, 5)
