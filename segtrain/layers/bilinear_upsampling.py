import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("segtrain")
class BilinearUpSampling2D(keras.layers.Layer):
    """Enlarges a map by a whole factor, bilinearly: `keras.layers.UpSampling2D` for sizes known only when called.

    Keras' own layer refuses those (3.15). A value stands in the middle of the square it becomes, and beyond the border
    the outermost values go on.

    Args:
        factor: of height and width.

    Call arguments:
        inputs: float tensor `(batch, height, width, channels)`.

    Output shape:
        `(batch, factor * height, factor * width, channels)`.
    """

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        batch, height, width, channels = ops.shape(inputs)
        taller = self._interpolate(ops.reshape(inputs, (batch, height, 1, width * channels)))
        taller = ops.reshape(taller, (batch * height * self.factor, width, 1, channels))
        return ops.reshape(self._interpolate(taller), (batch, height * self.factor, width * self.factor, channels))

    def _interpolate(self, lines):
        """Turns lines `(batch, length, 1, values)` into `(batch, length, factor, values)`, between their neighbours."""
        before = ops.concatenate([lines[:, :1], lines[:, :-1]], axis=1)
        after = ops.concatenate([lines[:, 1:], lines[:, -1:]], axis=1)
        offsets = ((np.arange(self.factor) + 0.5) / self.factor - 0.5)[:, None]
        weights = (np.maximum(0, -offsets), 1 - np.abs(offsets), np.maximum(0, offsets))
        shares = (ops.convert_to_tensor(weight, dtype=lines.dtype) for weight in weights)
        return sum(share * values for share, values in zip(shares, (before, lines, after), strict=True))

    def compute_output_spec(self, inputs):
        batch, height, width, channels = inputs.shape
        height, width = (size and size * self.factor for size in (height, width))
        return keras.KerasTensor((batch, height, width, channels), dtype=inputs.dtype)

    def get_config(self):
        return super().get_config() | {"factor": self.factor}
