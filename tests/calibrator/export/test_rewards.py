"""The reward function that TRL's trainer calls."""

from __future__ import annotations

import json

from calibrator.export.rewards import graded


def test_each_completion_is_graded_by_its_own_check() -> None:
    """Texts and messages, after their thinking; columns that it does not know are passed over."""
    checks = [{"kind": "exact", "answer": "5"}, {"kind": "choice", "answer": "B"}, {"kind": "regex", "pattern": "^ja"}]
    completions = ["<think>4?</think>5", [{"role": "assistant", "content": "(A)"}], "nein"]
    found = graded(completions, [json.dumps(check) for check in checks], category=["math"] * 3)
    assert found == [1.0, 0.0, 0.0]


def test_formulas_are_compared_by_what_they_mean() -> None:
    """As everywhere in Ponder."""
    check = json.dumps({"kind": "math", "answer": "1/2"})
    assert graded(["So it is $0.5$.", r"\boxed{2}"], [check, check]) == [1.0, 0.0]
