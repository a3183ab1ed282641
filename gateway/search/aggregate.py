"""From the scores of a chain's steps to one score of the chain.

Which way is best is a property of the reward model: hard step labels favour the minimum, soft
Monte-Carlo labels the last, and a product punishes long chains. So it is data on the verifier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final


class Aggregation(StrEnum):
    """How the scores of steps become one."""

    MIN = "min"
    PRODUCT = "product"
    MEAN = "mean"
    LAST = "last"
    SUM = "sum"


_WAYS: Final[Mapping[Aggregation, Callable[[Sequence[float]], float]]] = {
    Aggregation.MIN: min,
    Aggregation.PRODUCT: math.prod,
    Aggregation.MEAN: lambda scores: math.fsum(scores) / len(scores),
    Aggregation.LAST: lambda scores: scores[-1],
    Aggregation.SUM: math.fsum,
}


def aggregate(scores: Sequence[float], way: Aggregation) -> float | None:
    """One score for a chain; None where there is none or one of them is no number."""
    if not scores or not all(math.isfinite(score) for score in scores):
        return None
    return _WAYS[way](scores)


def as_share(score: float, *, is_logit: bool) -> float:
    """A score as a number from 0 to 1: by the logistic function for one without bounds, else cut to the range."""
    if is_logit:
        return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))
    return min(1.0, max(0.0, score))
