import math

import keras
import numpy as np


@keras.saving.register_keras_serializable("segtrain")
class BilinearInitializer(keras.initializers.Initializer):
    """Has a transposed convolution begin as bilinear interpolation of each channel by itself.

    For kernels `(size, size, classes, classes)`. See Long, Shelhamer, Darrell 2015, section 3.3,
    https://arxiv.org/abs/1411.4038.
    """

    def __call__(self, shape, dtype=None):
        size, _, outputs, inputs = shape
        centre = (size - 1) / 2
        ramp = 1 - np.abs(np.arange(size) - centre) / math.ceil(size / 2)
        kernel = np.outer(ramp, ramp)[:, :, None, None] * np.eye(outputs, inputs)
        return keras.ops.convert_to_tensor(kernel, dtype=dtype or "float32")
