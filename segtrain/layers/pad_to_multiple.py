import keras
from keras import ops


@keras.saving.register_keras_serializable("segtrain")
class PadToMultiple2D(keras.layers.Layer):
    """Repeats the last row and column of images until height and width are multiples of a number, and not too small.

    A network that halves five times then meets no odd size, at which families of networks round differently. What is
    repeated looks like the rest of the image, whatever its values mean; `CropToReference2D` cuts the result back.
    One of unpadded convolutions needs a smallest size too. Where the size is known to be such, nothing is computed.

    Args:
        multiple: what height and width are divisible by afterwards.
        smallest: what they are at least; one of the multiples.

    Input shape:
        `(batch, height, width, channels)`, of any type; height and width may be unknown until called.

    Output shape:
        `(batch, height rounded up, width rounded up, channels)`.
    """

    def __init__(self, multiple: int, smallest: int = 0, **kwargs):
        super().__init__(**kwargs)
        if smallest % multiple:
            raise ValueError(
                f"PadToMultiple2D needs a smallest size that is a multiple itself. Received: multiple={multiple}, "
                f"smallest={smallest}."
            )
        self.multiple = multiple
        self.smallest = smallest

    def call(self, inputs):
        padded = inputs
        for axis in (1, 2):
            size = ops.shape(inputs)[axis]
            missing = self._rounded(size) - size
            if not isinstance(missing, int) or missing:
                last = padded[:, -1:] if axis == 1 else padded[:, :, -1:]
                padded = ops.concatenate([padded, ops.repeat(last, missing, axis=axis)], axis=axis)
        return padded

    def compute_output_spec(self, inputs):
        batch, height, width, channels = inputs.shape
        height, width = (None if size is None else self._rounded(size) for size in (height, width))
        return keras.KerasTensor((batch, height, width, channels), dtype=inputs.dtype)

    def get_config(self):
        return super().get_config() | {"multiple": self.multiple, "smallest": self.smallest}

    def _rounded(self, size):
        larger = max if isinstance(size, int) else ops.maximum
        return larger(size + -size % self.multiple, self.smallest)
