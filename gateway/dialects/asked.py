"""What a classifier may look at of a request: the last thing that a user asked for in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.chat import Dialect
from gateway.domain.prediction import Prompt


def prompt_of(dialect: Dialect, body: Mapping[str, Any]) -> Prompt:
    """The prompt of a parsed body; never raises, whatever the body holds."""
    turns = body.get("input" if dialect is Dialect.OPENAI_RESPONSES else "messages")
    if isinstance(turns, str):
        return Prompt(text=turns)
    text = ""
    for turn in reversed(turns if isinstance(turns, list) else []):
        content = turn.get("content") if isinstance(turn, Mapping) and turn.get("role") == "user" else None
        if isinstance(content, str):
            text = content
            break
    return Prompt(text=text, has_tools=bool(body.get("tools")))
