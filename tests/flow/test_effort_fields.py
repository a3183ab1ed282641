"""What a record keeps of a request's settings."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.flow.effort_fields import effort_fields

PROMPT = "Tell nobody: the launch code is 0000."


def test_effort_is_kept_as_it_was_asked_for() -> None:
    """Each dialect's way to say how hard to think is on record."""
    asked = {
        "reasoning_effort": "high",
        "reasoning": {"effort": "medium", "summary": "auto"},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "output_config": {"effort": "low"},
        "max_tokens": 100,
        "max_output_tokens": None,
    }
    assert effort_fields({"model": "m", "messages": [], **asked}) == asked


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"output_config": {"effort": "low", "format": {"schema": {"description": PROMPT}}}}, {"effort": "low"}),
        ({"output_config": {PROMPT: 1}}, {}),
        ({"output_config": [PROMPT]}, "…"),
        ({"thinking": {"type": PROMPT}}, {"type": "…"}),
        ({"thinking": {"type": {"a": PROMPT}}}, {"type": "…"}),
        ({"reasoning_effort": PROMPT}, "…"),
        ({"max_tokens": "x" * 33}, "…"),
    ],
)
def test_text_in_an_effort_field_is_not_kept(asked: dict[str, Any], kept: Any) -> None:
    """A schema, a note or a prompt that stands inside such a member stays out of the record."""
    (name,) = asked
    assert effort_fields(asked) == {name: kept}
