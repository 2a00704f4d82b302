import keras
import numpy as np
from keras import ops

RADIUS = 4
SIGMA = 2.0


@keras.saving.register_keras_serializable("segtrain")
class LocalContrastNormalization(keras.layers.Layer):
    """Subtracts from each pixel the mean of its surroundings and divides by their standard deviation.

    Mean and deviation are over all channels of a 9x9 window, weighted by a Gaussian. The deviation is taken for no
    smaller than its mean over the image, so that flat areas stay flat. At the border the weights inside the image
    count. Source: Jarrett et al. 2009, What is the best multi-stage architecture for object recognition?, section 2.2.
    It leaves open how wide the Gaussian is (here sigma 2, so that the window holds two of it on each side), and what
    the border does.

    Computed in float32 whatever the precision of the network.

    Args:
        epsilon: what a deviation is at least, in units of the input: an image of one colour becomes zero.

    Call arguments:
        inputs: float tensor `(batch, height, width, channels)`, values in any range.

    Output shape:
        As the input; float32. The size of the values does not depend on the input's range.
    """

    def __init__(self, epsilon=1e-2, **kwargs):
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.epsilon = epsilon

    def call(self, inputs):
        inside = _blur(ops.ones_like(inputs[:1, :, :, :1]))

        def local_mean(values):
            return _blur(ops.mean(values, axis=-1, keepdims=True)) / inside

        centred = inputs - local_mean(inputs)
        deviation = ops.sqrt(local_mean(ops.square(centred)))
        usual = ops.mean(deviation, axis=(1, 2, 3), keepdims=True)
        return centred / ops.maximum(ops.maximum(deviation, usual), self.epsilon)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"epsilon": self.epsilon}


def _blur(values):
    """Convolves maps of one channel with the Gaussian, down and then across; outside of the image there are zeros."""
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    weights = ops.convert_to_tensor(weights / weights.sum(), dtype=values.dtype)
    down = ops.conv(values, ops.reshape(weights, (-1, 1, 1, 1)), padding="same")
    return ops.conv(down, ops.reshape(weights, (1, -1, 1, 1)), padding="same")
