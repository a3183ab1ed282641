"""Savings as values and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from gateway.domain.savings import (
    Accuracy,
    ArmAnswers,
    Beside,
    Bounded,
    PolicySavings,
    Savings,
    Scope,
    read_savings,
)

BESIDE = Beside(Bounded(0.5, 0.4, 0.6), None, 120.5, 40, (), ("few labels",))
FOUND = PolicySavings(
    policy="work",
    since=1.0,
    until=2.0,
    requests=900,
    savings=Savings(
        reference="high",
        decisions=800,
        left_out={"named": 100},
        shares={"low": 0.75, "high": 0.25},
        scopes=(
            Scope(None, 800, 600, 0.01, BESIDE, ()),
            Scope(
                category="math",
                decisions=800,
                reached=600,
                cost_usd=None,
                reference=BESIDE,
                arms=(ArmAnswers("low", 700, 0.002, (Accuracy("user", 40, Bounded(0.9, 0.8, 0.95)),)),),
            ),
        ),
        dealt=500,
        control=replace(BESIDE, saved=None, cost_doubts=("out of reach",)),
    ),
    note=None,
)


def test_it_comes_back_from_json() -> None:
    """Equal in all its parts, with or without an estimate."""
    nothing = replace(FOUND, savings=None, note="nothing was decided")
    for each in (FOUND, nothing):
        assert read_savings(json.loads(json.dumps(each.document()))) == each


def test_the_form_of_another_release_is_none() -> None:
    """It is not guessed at: the next estimate replaces it."""
    assert read_savings({**FOUND.document(), "form": 2}) is None
    assert read_savings({}) is None
