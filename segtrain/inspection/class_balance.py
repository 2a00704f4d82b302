"""Weights that have rare classes count as much as frequent ones."""

import numpy as np


def median_frequency_weights(class_pixels: np.ndarray, pixels_of_images: np.ndarray) -> list[float | None]:
    """Returns the median of the classes' frequencies over each class's own frequency.

    A class's frequency is its pixels over all pixels of the images that have it, void ones included: "the total number
    of pixels in images where c is present". Void itself has no frequency, and so no part in the median.
    Source: Eigen and Fergus 2015, https://arxiv.org/abs/1411.4734, section 6.3.2, which SegNet follows
    (https://arxiv.org/abs/1511.00561, section 3.1). SegNet's published table for CamVid has void for a twelfth class,
    which moves the median, and with it every weight.

    Args:
        class_pixels: int64 `(classes,)`, pixels of each class.
        pixels_of_images: int64 `(classes,)`, all pixels of the images that have at least one pixel of the class.

    Returns:
        Weights by class id; None for a class that no image has.
    """
    present = class_pixels > 0
    frequencies = class_pixels[present] / pixels_of_images[present]
    weights = iter((np.median(frequencies) / frequencies).tolist() if present.any() else ())
    return [next(weights) if there else None for there in present]
