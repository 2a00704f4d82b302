import numpy as np
import tensorflow as tf

from segtrain.training.losses.lovasz import build_lovasz


def slow_lovasz(pixels):
    """The definition of the extension: errors in falling order, each times what adding its pixel does to the loss."""
    losses = []
    for class_id in {truth for truth, _ in pixels}:
        errors = [abs((truth == class_id) - p[class_id]) for truth, p in pixels]
        of_class = {place for place, (truth, _) in enumerate(pixels) if truth == class_id}
        mistaken, before, total = set(), 0.0, 0.0
        for place in sorted(range(len(errors)), key=lambda place: -errors[place]):
            mistaken.add(place)
            # The mistaken pixels are missed, or wrongly given to the class: over all that are in one or the other.
            loss = len(mistaken) / len(of_class | mistaken)
            total += errors[place] * (loss - before)
            before = loss
        losses.append(total)
    return np.mean(losses)


def test_equals_its_definition(assert_equals_twin):
    assert_equals_twin(build_lovasz(ignore_label=255), slow_lovasz)


def test_of_hard_decisions_it_is_one_less_the_iou():
    """Where the softmax is 0 or 1 the extension is the set function itself."""
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, (2, 1, 9, 9)).astype(np.uint8)
    logits = 1e3 * (predicted[..., None] == np.arange(4)).astype(np.float32)
    ious = [((labels == c) & (predicted == c)).sum() / ((labels == c) | (predicted == c)).sum() for c in range(4)]
    value = build_lovasz(ignore_label=255)(tf.constant(labels), tf.constant(logits)).numpy()
    np.testing.assert_allclose(value, 1 - np.mean(ious), rtol=1e-5)
