"""A saved model with our layers loads in a process that only imported them."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from segtrain.layers import (
    BilinearUpSampling2D,
    CropToReference2D,
    FusedBatchNormalization,
    LocalContrastNormalization,
    MaxPoolWithIndices2D,
    MaxUnpool2D,
    PadToMultiple2D,
)

LOAD_AND_CALL = """
import sys
import keras
import numpy as np
import segtrain.layers
folder = sys.argv[1]
model = keras.saving.load_model(folder + "/model.keras", safe_mode=True)
np.save(folder + "/loaded.npy", model(np.load(folder + "/images.npy"))[1].numpy())
"""


@pytest.fixture(scope="module")
def model(two_devices):
    """Each layer once; the unpooling with and without a size to restore."""
    keras.utils.set_random_seed(0)
    images = keras.Input((5, 7, 3))
    pooled, codes = MaxPoolWithIndices2D(name="pool")(images)
    features = keras.layers.Conv2D(3, 3, padding="same")(pooled)
    features = FusedBatchNormalization(name="norm", moving_mean_initializer="random_normal")(features)
    restored = MaxUnpool2D(name="restore")(features, codes, output_size=(5, 7))
    doubled = CropToReference2D(name="crop")(MaxUnpool2D(name="double")(features, codes), images)
    return keras.Model(images, [restored, keras.layers.Concatenate()([doubled, restored])])


def test_model_loads_in_a_fresh_process_with_safe_mode(model, tmp_path):
    images = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    subprocess.run([sys.executable, "-c", LOAD_AND_CALL, str(tmp_path)], check=True, cwd=tmp_path)
    expected = model(images)[1].numpy()
    assert np.count_nonzero(expected) > 0
    np.testing.assert_allclose(np.load(tmp_path / "loaded.npy"), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer_class", "arguments"),
    [
        (BilinearUpSampling2D, {"times": 3}),
        (CropToReference2D, {}),
        (FusedBatchNormalization, {}),
        (LocalContrastNormalization, {"epsilon": 0.5}),
        (MaxPoolWithIndices2D, {}),
        (MaxUnpool2D, {}),
        (PadToMultiple2D, {"multiple": 3, "smallest": 6}),
    ],
)
def test_layer_comes_back_from_its_config(layer_class, arguments):
    layer = layer_class(name="some_name", dtype="float16", **arguments)
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"] == f"segtrain>{layer_class.__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is layer_class
    assert again.get_config() == layer.get_config()
    assert {name: getattr(again, name) for name in arguments} == arguments
