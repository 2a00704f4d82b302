import keras
from keras import ops


@keras.saving.register_keras_serializable("segtrain")
class PadToSizes2D(keras.layers.Layer):
    """Adds rows and columns of zeros at the end, up to a size that a network without padding of its own can take.

    Such a network halves several times and loses a rim on the way, so that its maps fit together for some sizes alone:
    the multiples of a number, from a smallest one on. `CropToReference2D` undoes it.

    Args:
        multiple: heights and widths become multiples of this.
        smallest: and are at least this, itself one of the multiples.

    Call arguments:
        inputs: tensor `(batch, height, width, channels)`.

    Output shape:
        `(batch, height', width', channels)`, of the smallest such sizes that are not below the input's.
    """

    def __init__(self, multiple, smallest, **kwargs):
        super().__init__(**kwargs)
        if multiple < 1 or smallest < 1 or smallest % multiple:
            raise ValueError(
                f"PadToSizes2D needs smallest to be a multiple of multiple, both from 1 on. Received: "
                f"multiple={multiple}, smallest={smallest}."
            )
        self.multiple = multiple
        self.smallest = smallest

    def call(self, inputs):
        _, height, width, _ = ops.shape(inputs)
        missing = [self._padded(size) - size for size in (height, width)]
        if all(isinstance(size, int) and size == 0 for size in missing):
            return inputs
        return ops.pad(inputs, [(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)])

    def _padded(self, size):
        multiples = -(-size // self.multiple) * self.multiple
        larger = max if isinstance(size, int) else ops.maximum
        return larger(multiples, self.smallest)

    def compute_output_spec(self, inputs):
        batch, height, width, channels = inputs.shape
        height, width = (size and self._padded(size) for size in (height, width))
        return keras.KerasTensor((batch, height, width, channels), dtype=inputs.dtype)

    def get_config(self):
        return super().get_config() | {"multiple": self.multiple, "smallest": self.smallest}
