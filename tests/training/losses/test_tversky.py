import numpy as np
import pytest

from segtrain.training.losses.tversky import build_tversky


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.5, 0.5), (1.0, 1.0), (0.0, 1.0)])
def test_equals_its_definition(alpha, beta, assert_equals_twin):
    def twin(pixels):
        losses = []
        for class_id in {truth for truth, _ in pixels}:
            hit = sum(p[class_id] for truth, p in pixels if truth == class_id)
            wrongly_given = sum(p[class_id] for truth, p in pixels if truth != class_id)
            missed = sum(1 - p[class_id] for truth, p in pixels if truth == class_id)
            losses.append(1 - (hit + 0.5) / (hit + alpha * wrongly_given + beta * missed + 0.5))
        return np.mean(losses)

    loss = build_tversky(ignore_label=255, false_positives=alpha, false_negatives=beta, smooth=0.5)
    assert_equals_twin(loss, twin)
