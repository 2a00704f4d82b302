import keras
from keras import ops

from segtrain.layers.window_codes import place_at_codes, take_at_codes


@keras.saving.register_keras_serializable("segtrain")
class MaxUnpool2D(keras.layers.Layer):
    """Puts values back where `MaxPoolWithIndices2D` found its maxima; every other position is zero.

    See SegNet, Badrinarayanan et al. 2015, section 3.1, https://arxiv.org/abs/1511.00561.

    Call arguments:
        inputs: float tensor `(batch, height, width, channels)`.
        indices: uint8 tensor of the same shape with values in 0..3, from `MaxPoolWithIndices2D`.
        output_size: `(height, width)` to restore, each twice the input's or one less (the pooled map was odd).
            Twice the input's when None.

    Output shape:
        `(batch, *output_size, channels)`, in the dtype of `inputs`.

    Raises:
        ValueError: `inputs` and `indices` differ in shape (a decoder stage has to emit as many channels as were
            pooled), or `output_size` cannot have been pooled to the input's size.
    """

    def call(self, inputs, indices, output_size=None):
        _check(inputs.shape, indices.shape, output_size)

        @ops.custom_gradient
        def unpool(values):
            def gradient(*upstream):
                return take_at_codes(upstream[0], indices)

            return place_at_codes(values, indices), gradient

        unpooled = unpool(inputs)
        if output_size is None:
            return unpooled
        height, width = output_size
        return unpooled[:, :height, :width, :]

    def compute_output_spec(self, inputs, indices, output_size=None):
        _check(inputs.shape, indices.shape, output_size)
        batch, height, width, channels = inputs.shape
        if output_size is None:
            output_size = (None if height is None else 2 * height, None if width is None else 2 * width)
        return keras.KerasTensor((batch, *output_size, channels), dtype=inputs.dtype)


def _check(values_shape, indices_shape, output_size):
    for ours, theirs in zip(values_shape, indices_shape, strict=True):
        if ours is not None and theirs is not None and ours != theirs:
            raise ValueError(
                "MaxUnpool2D needs inputs and indices of one shape, because a value goes back to the channel it was "
                f"pooled from. Received: inputs {tuple(values_shape)}, indices {tuple(indices_shape)}. Give the stage "
                "before the unpooling as many filters as the pooled map has channels."
            )
    if output_size is None:
        return
    if None in tuple(output_size):
        raise ValueError(
            f"output_size has to be known. Received: {tuple(output_size)}. Where sizes are known only when called, "
            "leave it out and cut the result with CropToReference2D."
        )
    for size, pooled in zip(output_size, values_shape[1:3], strict=True):
        if isinstance(size, int) and pooled is not None and (size + 1) // 2 != pooled:
            raise ValueError(
                "output_size has to be a (height, width) that pools to the input's: twice it, or twice it less one. "
                f"Received: output_size={tuple(output_size)} for inputs of {tuple(values_shape[1:3])}."
            )
