import keras
from keras import ops


@keras.saving.register_keras_serializable("segtrain")
class CropToReference2D(keras.layers.Layer):
    """Cuts the last rows and columns of a map so that it has the height and width of another, or a share of them.

    Halving rounds odd sizes up, so doubling overshoots by one; this brings a decoder's map back to the size of the
    encoder's, whatever the size of the image. Where the sizes are known to agree, nothing is computed.

    Args:
        stride: pixels of the reference to one of the result, in height and width.

    Call arguments:
        inputs: tensor `(batch, height, width, channels)`.
        reference: tensor `(batch, height', width', any)`; a `stride`-th of it is not larger than `inputs`.

    Output shape:
        `(batch, ceil(height' / stride), ceil(width' / stride), channels)`.
    """

    def __init__(self, stride: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, inputs, reference):
        if None not in inputs.shape[1:3] and tuple(inputs.shape[1:3]) == self._known_size(reference):
            return inputs
        height, width = (-(-length // self.stride) for length in ops.shape(reference)[1:3])
        return inputs[:, :height, :width, :]

    def compute_output_spec(self, inputs, reference):
        shape = (inputs.shape[0], *self._known_size(reference), inputs.shape[3])
        return keras.KerasTensor(shape, dtype=inputs.dtype)

    def _known_size(self, reference):
        return tuple(length and -(-length // self.stride) for length in reference.shape[1:3])

    def get_config(self):
        return super().get_config() | {"stride": self.stride}
