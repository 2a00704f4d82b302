import keras
import pytest
from keras import layers

from segtrain.layers import FusedBatchNormalization
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.freezing import freeze_encoder
from segtrain.models.encoders.weights import take_over


@pytest.fixture(autouse=True)
def _devices(two_devices):
    """TensorFlow's devices cannot be changed once it is in use."""


@pytest.fixture(scope="session")
def build_tiny():
    """Builds an encoder of a convolution for each stride: what goes round in a second, for what all have in common."""

    def build(*, channels, weights=None, freeze="none"):
        images, maps = keras.Input((None, None, channels), name="image"), []
        for stage, width in enumerate((4, 6, 8, 10, 12), 1):
            x = layers.Conv2D(width, 3, strides=2, padding="same", name=f"conv{stage}")(maps[-1] if maps else images)
            maps.append(layers.ReLU()(FusedBatchNormalization(name=f"norm{stage}")(x)))
        encoder = Encoder(keras.Model(images, maps, name="tiny"), (2, 4, 8, 16, 32), (4, 6, 8, 10, 12))
        if weights is not None:
            take_over(encoder.model, weights, "model.encoder.weights")
        freeze_encoder(encoder, freeze)
        return encoder

    return build
