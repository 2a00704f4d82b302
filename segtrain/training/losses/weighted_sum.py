"""Several losses at once."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segtrain.pipeline.class_balance import TellsLine


def build_weighted_sum(
    *,
    ignore_label: int,
    terms: Mapping[str, Any],
    weights: dict[str, float],
    class_names: Sequence[str] = (),
    class_balance: Any = None,
    tell: TellsLine = lambda line: None,
) -> Callable[[Any, Any], Any]:
    """Returns the sum of `weight * loss` over the terms.

    Args:
        ignore_label: label of the pixels to leave out.
        terms: by a name of your choice, builders of losses that still lack what the run knows (`_partial_: true`).
        weights: by the same names.
        class_names: for the terms that need them, like the following.
        class_balance: counts the training split.
        tell: takes a line that says what a term chose.

    Raises:
        ValueError: a weight has no term, or a term no weight.
    """
    unpaired = sorted(set(weights) ^ set(terms))
    if unpaired:
        raise ValueError(
            f"loss.weights needs a number for each term ({', '.join(terms)}). Received: {', '.join(weights)}. "
            f"Type loss.weights.{next(iter(terms))}=1.0 and so on."
        )
    known = {"ignore_label": ignore_label, "class_names": class_names, "class_balance": class_balance, "tell": tell}
    losses = {name: _told(term, **known) for name, term in terms.items()}

    def weighted_sum(labels, logits):
        return sum(weights[name] * loss(labels, logits) for name, loss in losses.items())

    return weighted_sum


def _told(build: Callable[..., Any], **known: Any) -> Callable[[Any, Any], Any]:
    taken = inspect.signature(build).parameters
    return build(**{name: value for name, value in known.items() if name in taken})
