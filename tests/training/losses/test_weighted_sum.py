import functools

import numpy as np
import pytest

from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.losses.dice import build_dice
from segtrain.training.losses.weighted_sum import build_weighted_sum

TERMS = {"cross_entropy": build_cross_entropy, "dice": functools.partial(build_dice, smooth=0.5)}


def test_is_the_weighted_sum_of_its_terms(batches):
    total = build_weighted_sum(ignore_label=255, terms=TERMS, weights={"cross_entropy": 1.0, "dice": 3.0})
    first, second = build_cross_entropy(ignore_label=255), build_dice(ignore_label=255, smooth=0.5)
    for labels, logits in batches:
        expected = first(labels, logits) + 3 * second(labels, logits)
        np.testing.assert_allclose(total(labels, logits), expected, rtol=1e-6)


@pytest.mark.parametrize("weights", [{"cross_entropy": 1.0, "dise": 1.0}, {"cross_entropy": 1.0}])
def test_every_term_needs_a_weight_of_its_name(weights):
    with pytest.raises(ValueError, match=r"a number for each term \(cross_entropy, dice\)\. Received: cross_entropy"):
        build_weighted_sum(ignore_label=255, terms=TERMS, weights=weights)
