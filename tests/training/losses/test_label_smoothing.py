import numpy as np
import pytest

from segtrain.training.losses.label_smoothing import build_label_smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_equals_its_definition(smoothing, assert_equals_twin):
    def twin(pixels):
        costs = []
        for truth, softmax in pixels:
            target = np.full(len(softmax), smoothing / len(softmax))
            target[truth] += 1 - smoothing
            costs.append(-(target * np.log(softmax)).sum())
        return np.mean(costs)

    assert_equals_twin(build_label_smoothing(ignore_label=255, smoothing=smoothing), twin)
