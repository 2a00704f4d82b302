"""Several losses at once."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def build_weighted_sum(
    *, ignore_label: int, terms: Mapping[str, Any], weights: dict[str, float] | None = None
) -> Callable[[Any, Any], Any]:
    """Returns the sum of `weight * loss` over the terms.

    Args:
        ignore_label: label of the pixels to leave out.
        terms: by a name of your choice, builders of losses that still lack what the run knows (`_partial_: true`).
        weights: by the same names; 1 where none is given.

    Raises:
        ValueError: a weight has no term.
    """
    weights = dict(weights or {})
    unknown = sorted(set(weights) - set(terms))
    if unknown:
        raise ValueError(f"loss.weights.{unknown[0]}: there is no such term. Terms: {', '.join(terms)}.")
    losses = {name: _told(term, ignore_label=ignore_label) for name, term in terms.items()}

    def weighted_sum(labels, logits):
        return sum(weights.get(name, 1.0) * loss(labels, logits) for name, loss in losses.items())

    return weighted_sum


def _told(build: Callable[..., Any], **known: Any) -> Callable[[Any, Any], Any]:
    taken = inspect.signature(build).parameters
    return build(**{name: value for name, value in known.items() if name in taken})
