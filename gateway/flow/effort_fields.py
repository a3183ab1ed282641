"""What a request body says of how hard to think, fit for the record: numbers and labels, never a prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_EFFORT_FIELDS = (
    "reasoning_effort",
    "reasoning",
    "thinking",
    "output_config",
    "thinking_token_budget",
    "enable_thinking",
    "thinking_budget",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
)
_EFFORT_MEMBERS = ("effort", "type", "budget_tokens", "max_tokens", "enabled", "exclude", "summary", "display")
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_NOT_KEPT = "…"


def effort_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a request body that say how hard to think; no prompt text among them.

    ``output_config`` may hold a whole JSON schema, and any member whatever a client writes into it:
    numbers and short labels are kept, the rest is not.
    """
    return {name: _plain(body[name]) for name in _EFFORT_FIELDS if name in body}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _scalar(value[name]) for name in _EFFORT_MEMBERS if name in value}
    return _scalar(value)


def _scalar(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    return value if isinstance(value, str) and _LABEL.fullmatch(value) else _NOT_KEPT
