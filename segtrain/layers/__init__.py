"""Keras layers. Importing this package registers them, so that `keras.saving.load_model` finds them."""

from segtrain.layers.bilinear_kernel import BilinearKernel
from segtrain.layers.bilinear_upsampling import BilinearUpSampling2D
from segtrain.layers.crop_to_reference import CropToReference2D
from segtrain.layers.fused_batch_normalization import FusedBatchNormalization
from segtrain.layers.local_contrast_normalization import LocalContrastNormalization
from segtrain.layers.max_pool_with_indices import MaxPoolWithIndices2D
from segtrain.layers.max_unpool import MaxUnpool2D
from segtrain.layers.pad_to_multiple import PadToMultiple2D

__all__ = [
    "BilinearKernel",
    "BilinearUpSampling2D",
    "CropToReference2D",
    "FusedBatchNormalization",
    "LocalContrastNormalization",
    "MaxPoolWithIndices2D",
    "MaxUnpool2D",
    "PadToMultiple2D",
]
