"""What every architecture keeps to: the promises of its docstring, on the smallest network it builds."""

import functools
import importlib
import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import segtrain.models
from segtrain.layers import FusedBatchNormalization, PadToMultiple2D
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.logits_of_image import logits_stride, with_logits_of_image

NUM_CLASSES = 5
FOLDER = Path(segtrain.models.__file__).parent
CONFIGS = Path(__file__).parents[2] / "conf" / "model"
# A file is an architecture where it defines the builder of its name, with keyword arguments alone.
NAMES = sorted(
    path.stem for path in FOLDER.glob("*.py") if re.search(rf"def build_{path.stem}\(\s*\*,", path.read_text("utf-8"))
)

# These differ in a few numbers from one that is not among them.
LONG = {"fcn16s", "fcn32s", "segnet_resnet50", "unet_resnet50"}

every_model = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in NAMES]
)


def unit(x, filters, kernel_size, strides=1):
    x = keras.layers.Conv2D(filters, kernel_size, strides, padding="same", kernel_initializer="he_normal")(x)
    return keras.layers.ReLU()(FusedBatchNormalization(momentum=0.9)(x))


def small_encoder(*, channels):
    """A convolution a size: what a model makes of an encoder is tested here, encoders themselves are elsewhere."""
    images = keras.Input((None, None, channels))
    x = unit(keras.layers.Rescaling(1 / 127.5, -1)(PadToMultiple2D(32)(images)), 4, 3)
    maps = []
    for width in (4, 6, 8, 10, 12):
        x = unit(x, width, 3, 2)
        maps.append(x)
    return Encoder(keras.Model(images, maps, name="small"), (2, 4, 8, 16, 32), (4, 6, 8, 10, 12))


def shallow_resnet(*, channels):
    """ResNet50 up to stride 16 with a block a stage, for the model that takes a ResNet only, and its twin."""
    images = keras.Input((None, None, channels))
    x = keras.layers.Rescaling(1 / 127.5, -1)(PadToMultiple2D(32)(images))
    maps = [unit(x, 64, 7, 2)]
    x = keras.layers.MaxPooling2D(3, 2)(keras.layers.ZeroPadding2D(1, name="pool1_pad")(maps[0]))
    for width, stride in [(256, 1), (512, 2), (1024, 2)]:
        shortcut = unit(x, width, 1, stride)
        x = unit(unit(unit(x, width // 4, 1, stride), width // 4, 3), width, 1)
        x = keras.layers.ReLU()(keras.layers.Add()([shortcut, x]))
        maps.append(x)
    return Encoder(keras.Model(images, maps, name="resnet50"), (2, 4, 8, 16), (64, 256, 512, 1024))


def build(name, *, num_classes=NUM_CLASSES, channels=3, **options):
    builder = getattr(importlib.import_module(f"segtrain.models.{name}"), f"build_{name}")
    encoder = shallow_resnet if name.startswith("segnet_resnet50") else small_encoder
    small = {"width": 4, "skip_width": 4, "dropout": 0.0, "encoder": encoder}
    keras.utils.set_random_seed(0)
    return builder(
        num_classes=num_classes,
        channels=channels,
        **{option: value for option, value in small.items() if option in inspect.signature(builder).parameters},
        **options,
    )


@functools.cache
def built(name):
    """Returns a model that no test changes."""
    return build(name)


def all_layers(model):
    """Yields the layers of a model and of the models in it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)


def batch(size=(33, 47), seed=0):
    """Images 0..255, and labels that can be learned from them: how bright a pixel is."""
    images = np.random.default_rng(seed).uniform(0, 255, (2, *size, 3)).astype(np.float32)
    return images, (images.mean(axis=3) / 256 * NUM_CLASSES).astype(np.int32)


@functools.cache
def a_step_downhill(name):
    """Returns a model of its own, its loss before and after one step on one batch, and the step's gradients by path."""
    model = build(name)
    images, labels = batch()

    def loss():
        logits = model(images, training=True)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))

    with tf.GradientTape() as tape:
        before = loss()
    gradients = tape.gradient(before, model.trainable_variables)
    keras.optimizers.SGD(0.02).apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    by_path = {variable.path: gradient for variable, gradient in zip(model.trainable_variables, gradients, strict=True)}
    return model, float(before), float(loss()), by_path


@functools.cache
def built_in_mixed_precision(name):
    """Returns a model that no test changes, of two classes and grey images."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return build(name, num_classes=2, channels=1)
    finally:
        keras.config.set_dtype_policy(before)


def test_every_architecture_is_an_option_and_every_option_an_architecture():
    targets = [re.search(r"^_target_: (\S+)", path.read_text("utf-8"), re.M)[1] for path in CONFIGS.glob("*.yaml")]
    assert len(NAMES) == len(list(CONFIGS.glob("*.yaml"))) >= 4
    assert sorted(targets) == [f"segtrain.models.{name}.build_{name}" for name in NAMES]
    assert [path.stem for path in sorted(CONFIGS.glob("*.yaml"))] == NAMES


@every_model
def test_logits_have_the_size_of_the_image_whatever_it_is(name):
    """One compiled function takes all sizes; 360x480 is the paper's, whose height cannot be halved five times."""
    model = built(name)
    assert model.output_shape == (None, None, None, NUM_CLASSES)
    run = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for size in [(360, 480), (32, 32), (33, 47)]:
        images = batch(size)[0][:1]
        logits = run(images).numpy()
        assert logits.shape == (1, *size, NUM_CLASSES)
        assert logits.dtype == "float32"
        assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, model(images, training=False).numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("unet_on_encoder", 2),
        ("segnet_resnet50_indices", 2),
        ("deeplabv3plus", 4),
        pytest.param("segnet_resnet50", 2, marks=pytest.mark.long),
        pytest.param("unet_resnet50", 2, marks=pytest.mark.long),
    ],
)
def test_native_logits_are_those_that_are_interpolated(name, stride, tmp_path):
    """Same weights: of an image a `stride`-th, rounded up; and brought to the image's size, what `input` has.

    But for the last half window of an image that the network pads: `input` interpolates towards the padding there.
    """
    usual, native = built(name), build(name, logits_at="native")
    native.set_weights(usual.get_weights())
    native.save(tmp_path / "native.keras")
    native = keras.saving.load_model(tmp_path / "native.keras")
    assert (logits_stride(usual), logits_stride(native)) == (1, stride)
    assert with_logits_of_image(usual) is usual
    run = tf.function(native, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for size in [(64, 96), (33, 50), (35, 47)]:
        images = batch(size)[0][:1]
        logits = run(images).numpy()
        assert logits.shape == (1, -(-size[0] // stride), -(-size[1] // stride), NUM_CLASSES)
        assert logits.dtype == "float32"
        expected = usual(images, training=False).numpy()
        assert np.ptp(expected) > 0
        enlarged = with_logits_of_image(native)(images, training=False).numpy()
        inner = np.s_[:] if size == (64, 96) else np.s_[:, : -(stride // 2), : -(stride // 2)]
        np.testing.assert_allclose(enlarged[inner], expected[inner], rtol=1e-4, atol=1e-5)


def can_leave_its_logits(name):
    return "logits_at:" in (CONFIGS / f"{name}.yaml").read_text("utf-8")


def test_five_architectures_can_leave_their_logits_small():
    assert sum(map(can_leave_its_logits, NAMES)) == 5


@every_model
def test_an_architecture_whose_logits_are_interpolated_can_leave_them(name):
    is_interpolated = any(layer.name == "enlarge" for layer in all_layers(built(name)))
    assert is_interpolated == can_leave_its_logits(name)


@every_model
def test_logits_stay_float32_in_mixed_precision(name):
    model = built_in_mixed_precision(name)
    logits = model(batch((32, 32))[0][..., :1], training=False)
    kernels = [layer for layer in all_layers(model) if hasattr(layer, "kernel")]
    assert sum(layer.compute_dtype == "bfloat16" for layer in kernels) >= len(kernels) / 2 > 0
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    # A logit that went through bfloat16 has no bits below its first 16.
    assert (logits.numpy().view(np.uint32) & 0xFFFF).any()


@every_model
def test_every_kernel_learns(name):
    *_, gradients = a_step_downhill(name)
    kernels = {path: gradient for path, gradient in gradients.items() if path.endswith("kernel")}
    assert len(kernels) == sum(variable.path.endswith("kernel") for variable in built(name).variables) >= 2
    assert [path for path, gradient in kernels.items() if gradient is None or not np.any(gradient.numpy())] == []


@every_model
def test_a_step_downhill_lowers_the_loss(name):
    _, before, after, _ = a_step_downhill(name)
    assert after < 0.999 * before


@every_model
def test_saved_and_loaded_it_is_the_same(name, tmp_path):
    model, *_ = a_step_downhill(name)  # which nothing else looks at
    for number, variable in enumerate(model.weights):  # no variable at its initial value, nor like another
        factor = np.random.default_rng(number).uniform(0.5, 1.5, variable.shape)
        variable.assign(variable.numpy() * factor if factor.ndim > 1 else factor)  # kernels of a size that logits bear
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.name == model.name == name
    assert len(loaded.weights) == len(model.weights) > 0
    for before, after in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(after.numpy(), before.numpy())
    images, _ = batch((32, 32))
    expected = model(images, training=False).numpy()
    assert np.isfinite(expected).all()
    assert np.ptp(expected[..., 0]) > 0
    np.testing.assert_array_equal(loaded(images, training=False).numpy(), expected)


@every_model
def test_channels_and_classes_are_as_told(name):
    model = built_in_mixed_precision(name)
    assert (model.input_shape[-1], model.output_shape[-1]) == (1, 2)
