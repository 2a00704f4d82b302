import numpy as np
import pytest

from segtrain.training.losses.ohem import build_ohem


@pytest.mark.parametrize(
    ("threshold", "least_share"), [(0.7, 0.0625), (0.2, 0.0625), (0.01, 0.5), (0.01, 0.01), (0.01, 1.0)]
)
def test_equals_its_definition(threshold, least_share, assert_equals_twin):
    def twin(pixels):
        of_truth = sorted(softmax[truth] for truth, softmax in pixels)
        least = int(np.ceil(least_share * len(of_truth)))
        return np.mean([-np.log(p) for place, p in enumerate(of_truth) if p < threshold or place < least])

    assert_equals_twin(build_ohem(ignore_label=255, threshold=threshold, least_share=least_share), twin)
