"""What training leaves as it is, on an encoder of two stages; and in models that change the encoder's graph."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from segtrain.layers import FusedBatchNormalization
from segtrain.models.deeplabv3plus import dilated
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.freezing import count_frozen, freeze_encoder
from segtrain.models.encoders.resnet50 import build_resnet50
from segtrain.models.encoders.vgg16 import build_vgg16
from segtrain.models.segnet_resnet50_indices import pooled_with_indices
from segtrain.models.unet_on_encoder import build_unet_on_encoder


def images_of(*size):
    return np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype(np.float32)


def two_stages(freeze, norm=FusedBatchNormalization):
    images = keras.Input((None, None, 3), name="image")
    first = norm(name="norm1")(layers.Conv2D(4, 3, strides=2, padding="same", name="conv1")(images))
    # A block that is a layer, as ConvNeXt's stems are.
    block = keras.Sequential([layers.Conv2D(8, 3, strides=2, padding="same"), norm()], name="block")
    encoder = Encoder(keras.Model(images, [first, block(first)], name="two_stages"), (2, 4), (4, 8))
    freeze_encoder(encoder, freeze)
    return encoder.model


def trained_after_a_step(model):
    """Returns whether each weight, statistics included, is another after a step."""
    before = model.get_weights()
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_mean(each**2) for each in model(images_of(8, 8), training=True)])
    gradients = tape.gradient(loss, model.trainable_variables)
    if gradients:
        keras.optimizers.SGD(0.1).apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return [bool(np.any(one != other)) for one, other in zip(before, model.get_weights(), strict=True)]


@pytest.mark.parametrize(
    ("freeze", "kernels", "norms", "frozen"),
    [
        ("none", [True, True], [True, True], 0),
        ("all", [False, False], [False, False], (27 * 4 + 4) + 4 * 4 + (36 * 8 + 8) + 4 * 8),
        ("batch_norm", [True, True], [False, False], 4 * 4 + 4 * 8),
        (1, [False, True], [False, True], (27 * 4 + 4) + 4 * 4),
        (2, [False, False], [False, False], (27 * 4 + 4) + 4 * 4 + (36 * 8 + 8) + 4 * 8),
    ],
)
def test_a_step_moves_what_is_not_frozen(freeze, kernels, norms, frozen):
    model = two_stages(freeze)
    moved = trained_after_a_step(model)
    assert len(moved) == 2 * (2 + 4)  # kernel, bias; scale, offset, mean, variance
    assert [moved[0], moved[6]] == kernels
    assert [any(moved[2:6]), any(moved[8:12])] == [all(moved[2:6]), all(moved[8:12])] == norms
    assert count_frozen(model) == frozen


def test_batch_norm_that_is_not_there_cannot_be_frozen():
    with pytest.raises(ValueError, match=r"freeze=batch_norm: two_stages has no BatchNorm\. Type none, all or"):
        two_stages("batch_norm", norm=layers.ReLU)


def test_more_stages_than_there_are_cannot_be_frozen():
    with pytest.raises(ValueError, match="freeze=3: two_stages has 2 stages"):
        two_stages(3)


@pytest.mark.parametrize(("freeze", "is_noted"), [("all", True), (2, True), ("none", False)])
def test_what_is_frozen_at_random_weights_is_noted(freeze, is_noted, recwarn):
    build_vgg16(channels=3, freeze=freeze)
    told = [str(each.message) for each in recwarn if "note:" in str(each.message)]
    assert told == [f"note: model.encoder.freeze={freeze}: what is frozen of vgg16 stays at random weights"] * is_noted


def test_freeze_of_stages_goes_as_far_as_their_map():
    """VGG16's maps come after 4, 7, 10, 13 and 13 convolutions."""
    model = build_vgg16(channels=3).model
    encoder = Encoder(model, (2, 4, 8, 16, 32), (128, 256, 512, 512, 512))
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    for stages, frozen in enumerate([4, 7, 10, 13, 13], 1):
        freeze_encoder(encoder, stages)
        assert [layer.trainable for layer in convolutions] == [False] * frozen + [True] * (13 - frozen)


def assert_frozen_in_a_changed_graph(changed, encoder, kept):
    names = {layer.name for layer in encoder.model.layers if layer.weights and not layer.trainable}
    model = changed(encoder)
    frozen = [layer for layer in model.layers if layer.weights and not layer.trainable]
    assert {layer.name for layer in frozen} == names & {layer.name for layer in model.layers}
    assert len(frozen) == kept
    assert count_frozen(model) == sum(layer.count_params() for layer in frozen)


@pytest.mark.parametrize(("freeze", "kept"), [("none", 0), (2, 4), ("all", 10), ("batch_norm", 5)])
def test_what_is_frozen_stays_so_where_an_encoder_is_dilated(freeze, kept, build_tiny):
    encoder = build_tiny(channels=3, freeze=freeze)
    assert_frozen_in_a_changed_graph(lambda encoder: dilated(encoder.reading(4, 32)), encoder, kept)


@pytest.mark.long
@pytest.mark.parametrize(("freeze", "kept"), [(2, 2 * (1 + 10)), ("all", 2 * 43), ("batch_norm", 43)])
@pytest.mark.filterwarnings("ignore:note. model.encoder.freeze")
def test_what_is_frozen_stays_so_where_poolings_replace_strides(freeze, kept):
    """ResNet50's first two stages are the stem's convolution and ten more, its first four 43."""
    encoder = build_resnet50(channels=3, freeze=freeze)
    assert_frozen_in_a_changed_graph(lambda encoder: pooled_with_indices(encoder.reading(16)), encoder, kept)


def test_what_is_frozen_of_a_model_stays_so_when_it_is_saved(build_tiny, tmp_path):
    encoder = functools.partial(build_tiny, freeze=5)
    model = build_unet_on_encoder(num_classes=3, channels=3, encoder=encoder, widths=(4,) * 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_variables) == len(model.trainable_variables) > 0
    assert loaded.get_layer("tiny").trainable_variables == []
