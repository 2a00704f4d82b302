"""Weights that an encoder starts from: files, and models that were trained here."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from segtrain.models.deeplabv3plus import build_deeplabv3plus
from segtrain.models.encoders.convnext_tiny import build_convnext_tiny
from segtrain.models.encoders.mobilenet_v2 import build_mobilenet_v2
from segtrain.models.encoders.resnet50 import build_resnet50
from segtrain.models.encoders.vgg16 import build_vgg16
from segtrain.models.encoders.weights import take_over
from segtrain.models.segnet_resnet50 import build_segnet_resnet50
from segtrain.models.segnet_resnet50_indices import build_segnet_resnet50_indices
from segtrain.models.unet_on_encoder import build_unet_on_encoder
from segtrain.models.unet_resnet50 import build_unet_resnet50


def build(model, encoder, weights=None):
    built = model(num_classes=3, channels=3, encoder=functools.partial(encoder, weights=weights))
    if weights is None:  # BatchNorm's too are like no others
        random = np.random.default_rng(0)
        built.get_layer(built.layers[1].name).set_weights(
            [random.uniform(0.5, 1.5, each.shape) for each in built.layers[1].get_weights()]
        )
    return built


def values_of(encoder):
    """Returns weights by layer."""
    return {layer.name: layer.get_weights() for layer in encoder.layers if layer.weights}


def assert_taken_over(trained, started, encoder, path, count):
    """Every layer that the trained model has is that of the started one, whatever a decoder has done to the graph."""
    source = build(trained, encoder)
    source.save(path)
    expected, found = (values_of(each.layers[1]) for each in (source, build(started, encoder, str(path))))
    assert len(expected) == count
    assert expected.keys() <= found.keys()
    for layer, values in expected.items():
        for one, other in zip(values, found[layer], strict=True):
            np.testing.assert_array_equal(one, other)


R4, R4_INDICES = build_segnet_resnet50, build_segnet_resnet50_indices
build_small_unet = functools.partial(build_unet_on_encoder, widths=(4,) * 4)
build_small_deeplab = functools.partial(build_deeplabv3plus, width=8, skip_width=8)


@pytest.mark.parametrize(
    ("trained", "started", "stages"),
    [(R4, R4, 4), (R4, build_small_unet, 4), (build_small_deeplab, build_small_unet, 5)],
    ids=["one that reads a part, on itself", "one that reads a part, on one that reads all", "dilated, on plain"],
)
def test_an_encoder_goes_on_from_that_of_a_model_that_was_trained(
    trained, started, stages, build_tiny, tmp_path, recwarn
):
    assert_taken_over(trained, started, build_tiny, tmp_path / "best.keras", count=2 * stages)
    notes = [str(each.message) for each in recwarn if "note:" in str(each.message)]
    words = "has no weights for the last 2 layers of tiny, from conv5 on"
    assert [words in note for note in notes] == [True] * (stages == 4)


@pytest.mark.long
@pytest.mark.parametrize(
    ("encoder", "trained", "started", "count"),
    [
        (build_resnet50, R4, R4, 86),
        (build_resnet50, R4_INDICES, R4_INDICES, 86),
        (build_resnet50, R4_INDICES, build_unet_resnet50, 86),
        (build_mobilenet_v2, build_small_deeplab, build_small_unet, 104),
    ],
)
@pytest.mark.filterwarnings("ignore:note. model.encoder.weights")
def test_so_do_those_that_are_known(encoder, trained, started, count, tmp_path):
    """ResNet50 has 43 convolutions up to stride 16, MobileNetV2 52, a BatchNorm with each."""
    assert_taken_over(trained, started, encoder, tmp_path / "best.keras", count)


def test_a_layer_without_a_name_is_found_in_spite_of_its_running_number(tmp_path):
    """ConvNeXt's last normalisation, which keras numbers on with each that is built."""

    def build_network():
        images = keras.Input((None, None, 3), name="image")
        x = layers.LayerNormalization()(layers.Conv2D(4, 1, name="conv")(images))
        return keras.Model(images, layers.LayerNormalization()(x), name="encoder")

    trained, started = build_network(), build_network()
    assert trained.layers[-1].name != started.layers[-1].name
    trained.layers[-2].set_weights([np.full(4, 2.0), np.full(4, 3.0)])
    trained.layers[-1].set_weights([np.full(4, 4.0), np.full(4, 5.0)])
    trained.save(tmp_path / "best.keras")
    take_over(started, str(tmp_path / "best.keras"), "model.encoder.weights")
    for one, other in zip(trained.get_weights(), started.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(trained.get_weights()) == 6


@pytest.mark.long
def test_convnext_goes_on_from_itself(tmp_path):
    keras.utils.set_random_seed(1)
    trained = build_convnext_tiny(channels=3).model
    trained.save(tmp_path / "best.keras")
    started = build_convnext_tiny(channels=3, weights=str(tmp_path / "best.keras")).model
    assert len(trained.weights) > 150
    for one, other in zip(trained.get_weights(), started.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def network_of(widths, name="encoder", first=1):
    images = x = keras.Input((None, None, 3), name="image")
    for number, width in enumerate(widths, first):
        x = layers.Conv2D(width, 1, name=f"conv{number}")(x)
    return keras.Model(images, x, name=name)


def refusal(path, encoder):
    with pytest.raises(ValueError, match="checkpoints/best.keras of a run on the encoder encoder") as caught:
        take_over(encoder, str(path), "model.encoder.weights")
    told = str(caught.value)
    assert told.startswith(f"model.encoder.weights={path}: ")
    assert "\n" not in told
    return told.removeprefix(f"model.encoder.weights={path}: ")


@pytest.mark.parametrize(
    ("trained", "fault"),
    [
        ({"widths": [4, 8], "name": "other"}, "It holds other, which has no such encoder."),
        ({"widths": [8], "first": 2}, "Its encoder has no layer conv1."),
        ({"widths": [4, 8], "first": 7}, "Its encoder has no layer conv1."),
        ({"widths": [4, 6]}, "Weights of its layer conv2 have shapes 1x1x4x6, 6; here they are 1x1x4x8, 8."),
    ],
)
def test_a_model_without_such_an_encoder_is_refused_and_nothing_is_taken(trained, fault, tmp_path):
    network_of(**trained).save(tmp_path / "best.keras")
    encoder = network_of([4, 8])
    before = encoder.get_weights()
    told = refusal(tmp_path / "best.keras", encoder)
    assert told.startswith("has to be the ")
    assert told.endswith(fault)
    assert len(told) < 250
    for one, other in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_damaged_model_is_told_so(tmp_path):
    path = tmp_path / "best.keras"
    network_of([4, 8]).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    told = refusal(path, network_of([4, 8]))
    assert told.startswith("cannot be loaded as a model: it is damaged, or no .keras file. It has to be")


@pytest.mark.parametrize(
    ("name", "length", "fault"),
    [
        ("other.weights.h5", None, "does not fit vgg16"),
        ("cut.weights.h5", 2000, "is damaged, or holds no weights"),
        ("empty.h5", 0, "is damaged, or holds no weights"),
    ],
)
def test_a_file_of_keras_that_does_not_fit_is_refused_with_what_would(tmp_path, name, length, fault):
    path = tmp_path / name
    network_of([4, 8]).save_weights(tmp_path / "whole.weights.h5")
    path.write_bytes((tmp_path / "whole.weights.h5").read_bytes()[:length])
    with pytest.raises(ValueError, match="best.keras of a run on the encoder vgg16") as caught:
        build_vgg16(channels=3, weights=str(path))
    assert str(caught.value).startswith(f"model.encoder.weights={path}: {fault}. It has to be .h5 or .weights.h5 of")
    assert "\n" not in str(caught.value)
