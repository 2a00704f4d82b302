"""What every encoder keeps to: the promises of `Encoder`, and that it is the network of keras.applications."""

import functools
import importlib
import os
import re
import urllib.error
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import applications

import segtrain.models.encoders
from segtrain.layers import FusedBatchNormalization

FOLDER = Path(segtrain.models.encoders.__file__).parent
CONFIGS = Path(__file__).parents[3] / "conf" / "model" / "encoder"
# The network without its top, and the module whose `preprocess_input` its weights expect.
NETWORKS = {
    "vgg16": (applications.VGG16, applications.vgg16),
    "vgg16_pools": (applications.VGG16, applications.vgg16),
    "resnet50": (applications.ResNet50, applications.resnet),
    "resnet101": (applications.ResNet101, applications.resnet),
    "resnet50_v2": (applications.ResNet50V2, applications.resnet_v2),
    "mobilenet_v2": (applications.MobileNetV2, applications.mobilenet_v2),
    "mobilenet_v3_large": (applications.MobileNetV3Large, applications.mobilenet_v3),
    "efficientnet_b0": (applications.EfficientNetB0, applications.efficientnet),
    "efficientnet_v2_b0": (applications.EfficientNetV2B0, applications.efficientnet_v2),
    "densenet121": (applications.DenseNet121, applications.densenet),
    "convnext_tiny": (applications.ConvNeXtTiny, applications.convnext),
}
# As the papers have them; where a block widens before it halves, what it widens to.
WIDTHS = {
    "vgg16": (128, 256, 512, 512, 512),
    "vgg16_pools": (64, 128, 256, 512, 512),
    "resnet50": (64, 256, 512, 1024, 2048),
    "resnet101": (64, 256, 512, 1024, 2048),
    "resnet50_v2": (64, 64, 128, 256, 2048),
    "mobilenet_v2": (6 * 16, 6 * 24, 6 * 32, 6 * 96, 1280),
    "mobilenet_v3_large": (64, 72, 240, 672, 960),
    "efficientnet_b0": (6 * 16, 6 * 24, 6 * 40, 6 * 112, 1280),
    "efficientnet_v2_b0": (16, 32, 4 * 48, 6 * 112, 1280),
    "densenet121": (64, 128, 256, 512, 1024),
    "convnext_tiny": (96, 192, 384, 768),
}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def every_encoder_of_which_first(*first, of=NETWORKS):
    """The others are long: they go the same ways through the code."""
    names = [name if name in first else pytest.param(name, marks=pytest.mark.long) for name in sorted(of)]
    return pytest.mark.parametrize("name", names)


def build(name, **options):
    keras.utils.set_random_seed(0)
    module = importlib.import_module(f"segtrain.models.encoders.{name}")
    return getattr(module, f"build_{name}")(**{"channels": 3} | options)


@functools.cache
def built(name):
    """Returns an encoder that no test changes."""
    return build(name)


def images_of(*size, channels=3):
    return np.random.default_rng(0).uniform(0, 255, (1, *size, channels)).astype(np.float32)


def test_every_encoder_is_an_option_and_tested_here():
    own = {path.stem for path in FOLDER.glob("*.py") if f"def build_{path.stem}(" in path.read_text("utf-8")}
    assert own == {path.stem for path in CONFIGS.glob("*.yaml")} == set(NETWORKS) == set(WIDTHS)
    assert len(own) == 11


@every_encoder_of_which_first("vgg16", "mobilenet_v2")
def test_maps_have_the_sizes_and_widths_that_it_says(name):
    """Any size of image; strides double from map to map."""
    encoder = built(name)
    assert encoder.strides == ((4, 8, 16, 32) if name == "convnext_tiny" else (2, 4, 8, 16, 32))
    assert encoder.widths == WIDTHS[name]
    maps = encoder.model(images_of(33, 64))
    expected = [
        (1, 64 // stride, 64 // stride, width) for stride, width in zip(encoder.strides, WIDTHS[name], strict=True)
    ]
    assert [tuple(each.shape) for each in maps] == expected


@every_encoder_of_which_first("vgg16", "efficientnet_b0")
def test_the_last_map_is_that_of_the_network_on_preprocessed_images(name, tmp_path):
    """Of the weights that are loaded by path, too: those of the network, as keras saves them."""
    make, family = NETWORKS[name]
    keras.utils.set_random_seed(1)
    network = make(include_top=False, weights=None, input_shape=(None, None, 3))
    if name == "efficientnet_b0":
        # Its file holds what to normalise by; random weights come without.
        (normalization,) = (each for each in network.layers if isinstance(each, keras.layers.Normalization))
        normalization.set_weights([np.array(MEAN), np.square(DEVIATION), np.array(0)])
        normalization.finalize_state()
    path = tmp_path / "network.weights.h5"
    network.save_weights(path)
    encoder = build(name, weights=str(path))
    images = images_of(64, 96)
    # Of families that scale the images in the network, this changes nothing.
    expected = network(family.preprocess_input(images.copy()), training=False).numpy()
    found = encoder.model(images, training=False)[-1].numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


@every_encoder_of_which_first("mobilenet_v3_large")  # whose layers keras numbers on
def test_built_twice_in_a_process_it_is_the_same(name):
    first, second = built(name), build(name)
    assert (first.strides, first.widths) == (second.strides, second.widths)
    images = images_of(32, 32)
    for one, other in zip(first.model(images), second.model(images), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


WITHOUT_BATCH_NORM = {"vgg16", "vgg16_pools", "convnext_tiny"}


@every_encoder_of_which_first("mobilenet_v2", of=set(NETWORKS) - WITHOUT_BATCH_NORM)
def test_running_statistics_follow_at_the_pace_that_is_set(name):
    """Through the network's own momentum, up to 0.999, validation of a short run would see those of random weights."""
    assert len(NETWORKS) - len(WITHOUT_BATCH_NORM) == 8
    encoder = build(name, batch_norm_momentum=0.25)
    norms = [layer for layer in encoder.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) > 30
    first = norms[0]
    seen = keras.Model(encoder.model.inputs, first.input)(images_of(64, 64)).numpy()
    encoder.model(images_of(64, 64), training=True)
    expected = 0.75 * seen.mean(axis=(0, 1, 2))  # from 0
    np.testing.assert_allclose(first.moving_mean.numpy(), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert {norm.momentum for norm in norms} == {0.25}


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """An empty home of keras on a machine without a network."""

    def unreachable(*_):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # read by keras when it is imported
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
    return tmp_path


def path_told(name):
    """Returns where the error of an encoder without its file tells to put it."""
    with pytest.raises(ValueError, match="could not be downloaded: no network. Put") as caught:
        build(name, weights="imagenet")
    address, folder = re.search(
        r"Put (https://\S+) into (\S+), or type model.encoder.weights=null", str(caught.value)
    ).groups()
    assert re.match(r"https://storage\.googleapis\.com/(tensorflow/)?keras-applications/", address)
    return Path(folder) / os.path.basename(address)


def name_of(layer):
    """Returns a layer's name. One, ConvNeXt's last, has none of its own, and keras numbers such on."""
    return re.sub(r"^layer_normalization_\d+$", "layer_normalization", layer.name)


def write_file(path, network):
    """Writes a network's weights as Keras 2 did: a group for each layer, names and order as attributes.

    Returns the values by layer: kernels as they are, vectors at random.
    """
    random, written = np.random.default_rng(0), {}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.4.0"
        for layer in network.layers:
            weights = layer.trainable_weights + layer.non_trainable_weights
            values = [
                weight.numpy() if weight.ndim != 1 else random.uniform(0.5, 1.5, weight.shape).astype("float32")
                for weight in weights
            ]
            if weights and isinstance(layer, keras.layers.Normalization):
                # The deviation stands for the variance, which keras makes up for: it divides by its root twice.
                values = [np.float32(MEAN), np.float32(DEVIATION), np.array(0)]
            names = [f"{weight.path}:0".encode() for weight in weights]
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = names
            for key, value in zip(names, values, strict=True):
                group.create_dataset(key, data=value)
            written[name_of(layer)] = values
    return written


@pytest.mark.filterwarnings("ignore:.input_shape. is undefined")
@every_encoder_of_which_first("mobilenet_v2")
def test_a_file_put_where_the_error_says_is_loaded_into_its_layers(name, keras_home, monkeypatch):
    """Through keras' own code, in the format of ImageNet's files: those themselves are not at hand."""
    path = path_told(name)
    assert path.parent == keras_home / "models"
    assert re.search(r"no_?top.*\.h5$", path.name)
    make, family = NETWORKS[name]
    written = write_file(path, make(include_top=False, weights=None, input_shape=(None, None, 3)))
    checksums = []

    def checked(file, checksum, algorithm="auto", **_):
        assert Path(file) == path
        checksums.append(checksum)
        return True

    monkeypatch.setattr("keras.src.utils.file_utils.validate_file", checked)
    encoder = build(name, weights="imagenet")
    # Keras has no checksum of MobileNetV2's files; others are MD5 or SHA-256.
    assert [len(each) in (32, 64) for each in checksums] == [True] * (name != "mobilenet_v2")

    loaded = [layer for layer in encoder.model.layers if layer.weights]
    for layer in loaded:
        values = layer.trainable_weights + layer.non_trainable_weights
        for value, expected in zip(values, written[name_of(layer)], strict=True):
            np.testing.assert_array_equal(value.numpy(), expected)
    kinds = {type(layer) for layer in loaded}
    assert keras.layers.BatchNormalization not in kinds
    assert (FusedBatchNormalization in kinds) == (not name.startswith(("vgg16", "convnext")))
    with_weights = [layer for layer, values in written.items() if values and not layer.startswith("normalization")]
    assert len(loaded) == len(with_weights) > 10

    network = make(include_top=False, weights="imagenet", input_shape=(None, None, 3))
    images = images_of(64, 96)
    expected = network(family.preprocess_input(images.copy()), training=False).numpy()
    assert expected.std() > 0
    found = encoder.model(images, training=False)[-1].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
