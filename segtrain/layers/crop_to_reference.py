import keras
from keras import ops


@keras.saving.register_keras_serializable("segtrain")
class CropToReference2D(keras.layers.Layer):
    """Cuts the last rows and columns of a map so that it has the height and width of another.

    Halving rounds odd sizes up, so doubling overshoots by one; this brings a decoder's map back to the size of the
    encoder's, whatever the size of the image. Where the sizes are known to agree, nothing is computed.

    Call arguments:
        inputs: tensor `(batch, height, width, channels)`.
        reference: tensor `(batch, height', width', any)`, not larger than `inputs`.

    Output shape:
        `(batch, height', width', channels)`.
    """

    def call(self, inputs, reference):
        if None not in inputs.shape[1:3] and tuple(inputs.shape[1:3]) == tuple(reference.shape[1:3]):
            return inputs
        _, height, width, _ = ops.shape(reference)
        return inputs[:, :height, :width, :]

    def compute_output_spec(self, inputs, reference):
        shape = (inputs.shape[0], *reference.shape[1:3], inputs.shape[3])
        return keras.KerasTensor(shape, dtype=inputs.dtype)
