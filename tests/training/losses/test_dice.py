import numpy as np
import pytest

from segtrain.training.losses.dice import build_dice


@pytest.mark.parametrize("smooth", [1e-3, 1.0])
def test_equals_its_definition(smooth, assert_equals_twin):
    def twin(pixels):
        losses = []
        for class_id in {truth for truth, _ in pixels}:
            both = sum(p[class_id] for truth, p in pixels if truth == class_id)
            sizes = sum(p[class_id] + (truth == class_id) for truth, p in pixels)
            losses.append(1 - (2 * both + smooth) / (sizes + smooth))
        return np.mean(losses)

    assert_equals_twin(build_dice(ignore_label=255, smooth=smooth), twin)
