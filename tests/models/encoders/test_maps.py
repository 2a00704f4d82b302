"""Finding the maps of a network, on one whose sizes are plain to see. Every family's: test_every_encoder.py."""

import keras
from keras import layers

from segtrain.models.encoders.maps import maps_by_stride, step_of, strides_of


def network():
    """Halves by a pooling, by a padded convolution with a shortcut beside it, and by a block of its own."""
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", name="before")(images)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.ReLU(name="at_2")(x)
    shortcut = layers.Conv2D(8, 1, strides=2, name="shortcut")(x)
    x = layers.ReLU(name="inner_of_2")(layers.Conv2D(6, 1, name="widen")(x))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = layers.Conv2D(8, 3, strides=2, name="strided")(x)
    x = layers.Add(name="at_4")([x, shortcut])
    x = keras.Sequential([layers.ReLU(), layers.Conv2D(8, 2, strides=2)], name="block")(x)
    return keras.Model(images, layers.ReLU(name="at_8")(x))


def test_a_map_is_the_last_of_its_size_that_is_computed_and_not_its_padding():
    model = network()
    maps = maps_by_stride(model)
    names = {2: "inner_of_2", 4: "at_4", 8: "at_8"}
    assert list(maps) == [2, 4, 8]
    assert all(maps[stride] is model.get_layer(name).output for stride, name in names.items())


def test_strides_multiply_from_layer_to_layer():
    model = network()
    strides = strides_of(model)
    expected = {"before": 1, "pool": 2, "at_2": 2, "shortcut": 4, "pad": 2, "strided": 4, "block": 8, "at_8": 8}
    assert {name: strides[id(model.get_layer(name).output)] for name in expected} == expected
    assert [step_of(model.get_layer(name)) for name in ("at_2", "strided", "block")] == [1, 2, 2]
