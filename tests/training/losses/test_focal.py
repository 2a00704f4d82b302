import numpy as np
import pytest

from segtrain.training.losses.focal import build_focal


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_equals_its_definition(gamma, assert_equals_twin):
    def twin(pixels):
        return np.mean([(1 - p[truth]) ** gamma * -np.log(p[truth]) for truth, p in pixels])

    assert_equals_twin(build_focal(ignore_label=255, gamma=gamma), twin)
