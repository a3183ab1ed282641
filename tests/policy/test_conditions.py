"""What each condition of a rule holds for, and what not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.policy.conditions import Conditions


def _holds(when: dict[str, Any], view: dict[str, Any]) -> bool:
    return all(test(view) for test in Conditions.model_validate(when).tests())


@pytest.mark.parametrize(
    ("when", "view", "holds"),
    [
        ({}, {}, True),
        ({"category": "code"}, {"category": "code"}, True),
        ({"category": "code"}, {"category": "code/python/numpy"}, True),
        ({"category": "code/python"}, {"category": "code/python/numpy"}, True),
        ({"category": "code/python"}, {"category": "code"}, False),
        ({"category": "code"}, {"category": "coder"}, False),
        ({"category": ["math", "code"]}, {"category": "math"}, True),
        ({"category": "code"}, {}, False),
        ({"difficulty": ["easy", "hard"]}, {"difficulty": "hard"}, True),
        ({"difficulty": "easy"}, {"difficulty": None}, False),
        ({"p_success": {"below": 0.5}}, {"p_success": 0.5}, False),
        ({"p_success": {"at_least": 0.5}}, {"p_success": 0.5}, True),
        ({"p_success": {"at_least": 0.2, "below": 0.5}}, {"p_success": 0.1}, False),
        ({"p_success": {"below": 0.5}}, {"p_success": None}, False),
        ({"tokens": {"at_least": 100}}, {"tokens": 99}, False),
        ({"turns": 3}, {"turns": 3}, True),
        ({"turns": [1, 3]}, {"turns": 2}, False),
        ({"hour": {"at_least": 22, "below": 6}}, {"hour": 23}, True),
        ({"hour": {"at_least": 22, "below": 6}}, {"hour": 5}, True),
        ({"hour": {"at_least": 22, "below": 6}}, {"hour": 6}, False),
        ({"hour": {"at_least": 9, "below": 17}}, {"hour": 17}, False),
        ({"hour": {"at_least": 0, "below": 24}}, {"hour": 23}, True),
        ({"hour": [0, 23]}, {"hour": 0}, True),
        ({"hour": {"at_least": 5, "below": 5}}, {"hour": 4}, True),
        ({"tools": True}, {"tools": True}, True),
        ({"tools": True}, {}, False),
        ({"tools": False}, {}, True),
        ({"schema": True}, {"schema": True}, True),
        ({"images": False}, {"images": True}, False),
        ({"stream": True}, {"stream": True}, True),
        ({"key": "batch"}, {"key": "k-1", "key_name": "batch"}, True),
        ({"key": "k-1"}, {"key": "k-1", "key_name": "batch"}, True),
        ({"key": "batch-*"}, {"key": "k-1", "key_name": "batch-7"}, True),
        ({"key": "batch"}, {"key": "k-1", "key_name": "batch-7"}, False),
        ({"team": "*"}, {}, False),
        ({"team": ["blue", "red"]}, {"team": "t-1", "team_name": "red"}, True),
        ({"tag": {"app": "tutor"}}, {"tag": {"app": "tutor", "other": "x"}}, True),
        ({"tag": {"app": ["tutor", "quiz"]}}, {"tag": {"app": "quiz"}}, True),
        ({"tag": {"app": "tutor", "tier": "gold"}}, {"tag": {"app": "tutor"}}, False),
        ({"tag": {"app": "tutor"}}, {}, False),
        ({"queue_depth": {"at_least": 8}}, {}, False),
        ({"remaining_budget_usd": {"below": 1}}, {"remaining_budget_usd": 0.5}, True),
        ({"tools": True, "category": "math"}, {"tools": True, "category": "code"}, False),
    ],
)
def test_a_condition_holds_for_what_it_says(when: dict[str, Any], view: dict[str, Any], holds: bool) -> None:
    """Lists mean any of them, several conditions all of them, and what is not known matches nothing."""
    assert _holds(when, view) is holds


@pytest.mark.parametrize(
    "when",
    [
        {"category": []},
        {"category": "maths"},
        {"tokens": {}},
        {"tokens": {"above": 3}},
        {"tokens": {"at_least": 5, "below": 5}},
        {"hour": 12.5},
        {"hour": 24},
        {"hour": -1},
        {"hour": {"at_least": 24}},
        {"hour": {"below": 25}},
        {"hour": {"below": 0}},
        {"has_schema": True},
        {"tag": {}},
        {"tools": "perhaps"},
    ],
)
def test_what_could_never_hold_or_says_nothing_is_refused(when: dict[str, Any]) -> None:
    """A condition that cannot be meant is a fault of the policy, not a rule that silently never applies."""
    with pytest.raises(ValidationError):
        Conditions.model_validate(when)
