"""The thirteen convolutions of segnet and encoder_decoder, starting from VGG16's weights."""

import urllib.error

import keras
import numpy as np
import pytest

from segtrain.models.encoder_decoder import build_encoder_decoder
from segtrain.models.encoders.vgg16 import build_vgg16
from segtrain.models.segnet import build_segnet
from segtrain.models.unet_on_encoder import build_unet_on_encoder

BUILDERS = [build_segnet, build_encoder_decoder]


def build(builder, weights, **options):
    keras.utils.set_random_seed(7)
    return builder(**{"num_classes": 3, "channels": 3} | options, weights=weights)


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


@pytest.fixture(scope="module")
def vgg16(two_devices):
    """The network of keras.applications, of random weights, its biases too."""
    keras.utils.set_random_seed(1)
    network = keras.applications.VGG16(include_top=False, weights=None, input_shape=(None, None, 3))
    for convolution in convolutions(network):
        kernel, bias = convolution.get_weights()
        convolution.set_weights([kernel, np.random.normal(size=bias.shape)])
    return network


@pytest.fixture(scope="module")
def files(vgg16, tmp_path_factory):
    """Its weights as keras saves them, now and before: the official file is of the second kind."""
    folder = tmp_path_factory.mktemp("vgg16")
    paths = [str(folder / "vgg16.weights.h5"), str(folder / "vgg16.h5")]
    vgg16.save_weights(paths[0])
    vgg16.save(paths[1])
    return paths


@pytest.mark.parametrize(("builder", "kind"), [(build_segnet, 0), (build_encoder_decoder, 1)])
def test_its_convolutions_are_vgg16s(builder, kind, vgg16, files):
    model = build(builder, files[kind])
    expected = convolutions(vgg16)
    assert len(expected) == 13
    for own, other in zip(convolutions(model)[:13], expected, strict=True):
        for one, two in zip(own.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("builder", "channels"), [(build_segnet, 3), (build_encoder_decoder, 1)])
def test_its_first_features_are_vgg16s_on_preprocessed_images(builder, channels, vgg16, files):
    """Of a grey image, on three equal channels. BatchNorm comes between the convolution and its ReLU."""
    model = build(builder, files[0], channels=channels)
    features = keras.Model(model.inputs[0], convolutions(model)[0].output)
    images = np.random.default_rng(0).uniform(0, 255, (1, 33, 47, channels)).astype(np.float32)
    prepared = keras.applications.vgg16.preprocess_input(np.repeat(images, 3 // channels, axis=-1))
    expected = keras.Model(vgg16.inputs[0], vgg16.get_layer("block1_conv1").output)(prepared).numpy()
    assert 0.1 < (expected > 0).mean() < 0.9
    np.testing.assert_allclose(np.maximum(features(images).numpy(), 0), expected, rtol=1e-4, atol=1e-3)


def test_the_pair_still_starts_from_the_same_weights_with_batch_norm_at_the_identity(files):
    models = [build(builder, files[0]) for builder in BUILDERS]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    norms = [layer for layer in models[0].layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 13 + 12
    for norm in norms:
        assert [set(weights) for weights in norm.get_weights()] == [{1}, {0}, {0}, {1}]


def test_its_convolutions_are_those_of_a_run_on_vgg16(tmp_path):
    trained = build_unet_on_encoder(num_classes=3, channels=3, encoder=build_vgg16, widths=(4,) * 4)
    trained.save(tmp_path / "best.keras")
    model = build(build_segnet, str(tmp_path / "best.keras"))
    expected = convolutions(trained.get_layer("vgg16"))
    for own, other in zip(convolutions(model)[:13], expected, strict=True):
        np.testing.assert_array_equal(own.get_weights()[0], other.get_weights()[0])


def test_its_own_checkpoint_is_refused_with_what_would_do(tmp_path):
    """It may have been trained on images that were scaled otherwise."""
    build(build_segnet, None, width=2).save(tmp_path / "best.keras")
    words = (
        r"^model\.weights=\S+: has to be the checkpoints/best\.keras of a run on the encoder vgg16\. It holds segnet"
    )
    with pytest.raises(ValueError, match=words):
        build(build_segnet, str(tmp_path / "best.keras"))


@pytest.mark.parametrize("builder", BUILDERS)
def test_weights_that_do_not_fit_are_refused(builder, files):
    with pytest.raises(ValueError, match=r"have 64 filters; this network's 32\. Type model\.width=64"):
        build(builder, files[0], width=32)
    with pytest.raises(ValueError, match=r"model\.weights=imagenet: ImageNet's images have 3 channels.* have 4\. "):
        build(builder, "imagenet", channels=4)
    with pytest.raises(ValueError, match=r"^model\.weights=missing\.h5: .*Type model\.weights=imagenet, null, or"):
        build(builder, "missing.h5")
    with pytest.raises(ValueError, match=r"^model\.weights=\S+: does not fit vgg16\. It has to be .* of VGG16"):
        build(builder, files[0], channels=4)


def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(monkeypatch):
    asked = []

    def unreachable(address, *_):
        asked.append(address)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
    monkeypatch.setattr("keras.src.utils.file_utils.os.path.exists", lambda path: False)
    with pytest.raises(ValueError, match=r"^model\.weights=imagenet: the weights of VGG16") as caught:
        build(build_segnet, "imagenet")
    (address,) = asked
    for words in (address, ".keras/models", "model.weights=null"):
        assert words in str(caught.value)
