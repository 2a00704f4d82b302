import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("segtrain")
class BilinearKernel(keras.initializers.Initializer):
    """Initial weights with which a transposed convolution enlarges each channel bilinearly, by its stride.

    Interpolation reaches twice the stride; a larger kernel begins with zeros around that. Kernel and stride are both
    even or both odd, so that the middle of the one can lie on the middle of the other.
    Source: Long et al. 2015, https://arxiv.org/abs/1411.4038, section 3.3.

    Args:
        stride: of the layer, which has `padding="same"`.
    """

    def __init__(self, stride):
        self.stride = stride

    def __call__(self, shape, dtype=None):
        """Returns a kernel `(height, width, outputs, inputs)`; output `c` is made of input `c`."""
        height, width, outputs, inputs = shape
        for size in (height, width):
            if size < self.stride or (size - self.stride) % 2:
                raise ValueError(
                    "BilinearKernel needs a kernel not smaller than the stride, both even or both odd. "
                    f"Received: kernel {(height, width)}, stride {self.stride}."
                )
        plane = self._tent(height)[:, None] * self._tent(width)
        return ops.convert_to_tensor(plane[:, :, None, None] * np.eye(outputs, inputs), dtype=dtype)

    def _tent(self, size):
        """Returns the weight of a value at each distance from it."""
        distances = np.abs(np.arange(size) - (size - 1) / 2)
        return np.maximum(0, 1 - distances / self.stride)

    def get_config(self):
        return {"stride": self.stride}
