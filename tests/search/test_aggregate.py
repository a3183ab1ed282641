"""From scores of steps to one."""

from __future__ import annotations

import math

import pytest

from gateway.search.aggregate import Aggregation, aggregate, as_share


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (Aggregation.MIN, 0.2),
        (Aggregation.PRODUCT, 0.05),
        (Aggregation.MEAN, 0.4),
        (Aggregation.LAST, 0.5),
        (Aggregation.SUM, 1.2),
    ],
)
def test_ways(way: Aggregation, value: float) -> None:
    """Each way by hand."""
    assert aggregate((0.5, 0.2, 0.5), way) == pytest.approx(value)


@pytest.mark.parametrize("scores", [(), (math.nan,), (0.5, math.inf)])
def test_no_score_from_what_is_none(scores: tuple[float, ...]) -> None:
    """Nothing, or something that is no number, is no score."""
    assert all(aggregate(scores, way) is None for way in Aggregation)


def test_shares() -> None:
    """Logits go through the logistic function, however large; other scores are cut to 0 and 1."""
    assert as_share(0.0, is_logit=True) == 0.5
    assert as_share(-5000.0, is_logit=True) == 0.0
    assert as_share(5000.0, is_logit=True) == 1.0
    assert [as_share(score, is_logit=False) for score in (-1.0, 0.25, 7.0)] == [0.0, 0.25, 1.0]
