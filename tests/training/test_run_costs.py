import keras
import psutil
from keras import layers

from segtrain.training.run_costs import forget_peak_memory, run_costs


def build_network():
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, padding="same")(images)
    return keras.Model(images, layers.Conv2D(4, 1)(layers.MaxPooling2D(2)(x)))


def test_flops_by_hand():
    multiply_adds = 16 * 24 * (3 * 3 * 3 * 8) + 8 * 12 * (8 * 4)
    assert run_costs(build_network(), [16, 24])["flops_per_image"] == 2 * multiply_adds
    assert run_costs(build_network(), None)["flops_per_image"] is None


def test_peak_memory_is_of_the_run_alone():
    held = bytearray(300_000_000)
    held[::4096] = b"x" * len(held[::4096])
    model = build_network()
    forget_peak_memory()
    with_it = run_costs(model, None)["peak_memory_bytes"]
    del held
    forget_peak_memory()
    without = run_costs(model, None)["peak_memory_bytes"]
    assert with_it - without > 250_000_000
    assert abs(without - psutil.Process().memory_info().rss) < 2**26


def test_a_network_that_cannot_be_counted_is_no_error():
    class Own(keras.Model):
        def call(self, images):
            return images

    costs = run_costs(Own(), [16, 24])
    assert costs["flops_per_image"] is None
    assert costs["peak_memory_bytes"] > 0
