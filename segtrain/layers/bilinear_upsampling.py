import keras
from keras import ops


@keras.saving.register_keras_serializable("segtrain")
class BilinearUpSampling2D(keras.layers.Layer):
    """Enlarges maps by a whole number, interpolating between the centres of pixels.

    The numbers are those of `keras.layers.UpSampling2D` with bilinear interpolation, which refuses sizes that are known
    only when called.

    Args:
        times: how often as large, height and width alike.

    Input shape:
        `(batch, height, width, channels)`, float; height and width may be unknown until called.

    Output shape:
        `(batch, times * height, times * width, channels)`, in the dtype of the input.
    """

    def __init__(self, times: int, **kwargs):
        super().__init__(**kwargs)
        self.times = times

    def call(self, inputs):
        _, height, width, _ = ops.shape(inputs)
        size = (self.times * height, self.times * width)
        if keras.backend.backend() != "tensorflow":
            return ops.image.resize(inputs, size, interpolation="bilinear")
        import tensorflow as tf

        return tf.cast(tf.image.resize(inputs, size, method="bilinear"), inputs.dtype)

    def compute_output_spec(self, inputs):
        batch, height, width, channels = inputs.shape
        height, width = (None if size is None else self.times * size for size in (height, width))
        return keras.KerasTensor((batch, height, width, channels), dtype=inputs.dtype)

    def get_config(self):
        return super().get_config() | {"times": self.times}
