import keras
from keras import ops


@keras.saving.register_keras_serializable("segtrain")
class PadToMultiple2D(keras.layers.Layer):
    """Repeats the last row and column of images until height and width are multiples of a number.

    A network that halves five times then meets no odd size, at which families of networks round differently. What is
    repeated looks like the rest of the image, whatever its values mean; `CropToReference2D` cuts the result back.
    Where the size is known to be a multiple, nothing is computed.

    Args:
        multiple: what height and width are divisible by afterwards.

    Input shape:
        `(batch, height, width, channels)`, of any type; height and width may be unknown until called.

    Output shape:
        `(batch, height rounded up, width rounded up, channels)`.
    """

    def __init__(self, multiple: int, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, inputs):
        static_height, static_width = inputs.shape[1:3]
        batch, height, width, _ = ops.shape(inputs)
        padded = inputs
        if static_height is None or static_height % self.multiple:
            padded = ops.concatenate([padded, ops.repeat(padded[:, -1:], -height % self.multiple, axis=1)], axis=1)
        if static_width is None or static_width % self.multiple:
            padded = ops.concatenate([padded, ops.repeat(padded[:, :, -1:], -width % self.multiple, axis=2)], axis=2)
        return padded

    def compute_output_spec(self, inputs):
        batch, height, width, channels = inputs.shape
        return keras.KerasTensor((batch, self._rounded(height), self._rounded(width), channels), dtype=inputs.dtype)

    def get_config(self):
        return super().get_config() | {"multiple": self.multiple}

    def _rounded(self, size):
        return None if size is None else size + -size % self.multiple
