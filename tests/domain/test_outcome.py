"""Outcomes: what can be one, and when its request began."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.outcome import Outcome
from gateway.errors import InvalidRequest
from tests.store.records import NOON, identity


def _outcome(**changes: Any) -> Outcome:
    said = {"request_id": identity(1), "source": "user", "score": 1.0, "at": NOON, "key_id": "k", "is_vouched": False}
    return Outcome(**{**said, **changes})


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_a_score_is_from_0_to_1(score: float) -> None:
    """Both ends are scores."""
    assert _outcome(score=score).score == score


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"score": -0.001}, "score"),
        ({"score": 1.001}, "score"),
        ({"score": float("nan")}, "score"),
        ({"weight": 0.0}, "weight"),
        ({"weight": 1.001}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"probability": 0.0}, "probability"),
        ({"probability": 1.001}, "probability"),
        ({"request_id": "x"}, "request_id"),
        ({"request_id": "b9a2cb0c-5d06-4a3b-8d0d-6a6a6a6a6a6a"}, "request_id"),
    ],
)
def test_what_is_no_outcome_is_refused(changes: dict[str, Any], param: str) -> None:
    """A number beyond its bounds, one that is none, and an id of nothing that we made."""
    with pytest.raises(InvalidRequest) as refused:
        _outcome(**changes)
    assert refused.value.param == param


def test_weights_and_probabilities_end_at_1() -> None:
    """A request that is always judged has the probability 1."""
    outcome = _outcome(weight=1.0, probability=1.0)
    assert (outcome.weight, outcome.probability) == (1.0, 1.0)
    assert (_outcome().weight, _outcome().probability) == (1.0, None)


def test_the_id_tells_when_the_request_began() -> None:
    """To the millisecond, so that an outcome finds its place before its request does."""
    assert _outcome(request_id=identity(1, NOON + 0.123)).begun_at == NOON + 0.123
