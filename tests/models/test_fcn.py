"""What the fully convolutional networks share."""

import functools

import cv2
import keras
import numpy as np
import pytest

from segtrain.layers import BilinearKernel
from segtrain.models.encoders.vgg16_pools import build_vgg16_pools
from segtrain.models.fcn import build_fcn

build_vgg16 = functools.partial(build_vgg16_pools, channels=3)


@pytest.mark.parametrize("times", [2, 4, 8])
def test_enlarging_begins_as_bilinear_interpolation(times):
    """But for the edge, outside of which a transposed convolution sees zeros."""
    scores = np.random.default_rng(0).normal(size=(1, 6, 7, 3)).astype(np.float32)
    layer = keras.layers.Conv2DTranspose(
        3, 2 * times, strides=times, padding="same", use_bias=False, kernel_initializer=BilinearKernel(times)
    )
    expected = cv2.resize(scores[0], (7 * times, 6 * times), interpolation=cv2.INTER_LINEAR)
    inner = slice(times, -times)
    np.testing.assert_allclose(layer(scores).numpy()[0, inner, inner], expected[inner, inner], atol=1e-5)


def test_scores_of_all_strides_add_up():
    """With one score at a time, and enlarging as it begins, the logits are the sum of what each gives."""
    keras.utils.set_random_seed(0)
    options = {"strides": (8, 16, 32), "num_classes": 4, "channels": 3, "trainable_upsampling": True}
    model = build_fcn("fcn", build_vgg16(), **options)
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    scores = [model.get_layer(f"score{stride}") for stride in (8, 16, 32)]
    kernels = [layer.kernel.numpy() for layer in scores]
    parts = []
    for chosen in scores:
        for layer, kernel in zip(scores, kernels, strict=True):
            layer.kernel.assign(kernel if layer is chosen else np.zeros_like(kernel))
        parts.append(model(images).numpy())
    for layer, kernel in zip(scores, kernels, strict=True):
        layer.kernel.assign(kernel)
    assert min(np.abs(part).max() for part in parts) > 0
    np.testing.assert_allclose(model(images).numpy(), sum(parts), rtol=1e-4, atol=1e-3)


def test_enlarging_stays_bilinear_where_it_is_not_to_be_trained():
    options = {"strides": (16, 32), "num_classes": 4, "channels": 3}
    trained = build_fcn("fcn", build_vgg16(), trainable_upsampling=True, **options)
    fixed = build_fcn("fcn", build_vgg16(), trainable_upsampling=False, **options)
    assert len(trained.trainable_variables) - len(fixed.trainable_variables) == 2
