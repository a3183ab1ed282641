"""Answers that thinking left nothing of."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.emptied import is_answer_emptied, is_body_emptied, is_emptied
from gateway.domain.chat import Answer, Dialect, Part, Refusal, StopReason, Text, Thinking, ToolCall
from gateway.domain.usage import Usage

SPENT = Usage(output_tokens=500, thinking_tokens=500)


@pytest.mark.parametrize(
    ("finish", "usage", "has_text", "expected"),
    [
        ("length", SPENT, False, True),
        ("max_tokens", SPENT, False, True),
        ("max_output_tokens", None, False, True),
        ("length", SPENT, True, False),
        ("length", Usage(), False, False),
        ("stop", SPENT, False, False),
        (None, SPENT, False, False),
    ],
)
def test_an_answer_is_emptied_when_it_ends_at_its_limit_with_nothing_said(
    finish: str | None, usage: Usage | None, has_text: bool, expected: bool
) -> None:
    """Limit, tokens and silence together mean that thinking took them; two of the three do not."""
    assert is_emptied(finish, usage, has_text=has_text) is expected


@pytest.mark.parametrize(
    ("parts", "stop", "expected"),
    [
        ((Thinking("hm"),), StopReason.MAX_TOKENS, True),
        ((Thinking("hm"), Text("\n")), StopReason.MAX_TOKENS, True),
        ((), StopReason.MAX_TOKENS, True),
        ((Thinking("hm"), Text("So")), StopReason.MAX_TOKENS, False),
        ((ToolCall("t", "look", "{}"),), StopReason.MAX_TOKENS, False),
        ((Refusal("No."),), StopReason.MAX_TOKENS, False),
        ((Thinking("hm"),), StopReason.END, False),
    ],
)
def test_a_neutral_answer_is_judged_by_its_parts(parts: tuple[Part, ...], stop: StopReason, expected: bool) -> None:
    """Text, a tool call and a refusal are answers; thinking and blank space are none."""
    assert is_answer_emptied(Answer("a", "m", parts, stop, SPENT)) is expected


def chat(finish: str, **message: Any) -> tuple[Dialect, dict[str, Any]]:
    """A chat completion."""
    return Dialect.OPENAI_CHAT, {"choices": [{"message": message, "finish_reason": finish}]}


def response(*items: Any, reason: str | None = "max_output_tokens") -> tuple[Dialect, dict[str, Any]]:
    """A response."""
    return Dialect.OPENAI_RESPONSES, {"incomplete_details": {"reason": reason} if reason else None, "output": items}


def message(stop: str, *blocks: Any) -> tuple[Dialect, dict[str, Any]]:
    """An Anthropic message."""
    return Dialect.ANTHROPIC_MESSAGES, {"stop_reason": stop, "content": list(blocks)}


SAID = {"type": "message", "content": [{"type": "output_text", "text": "So"}]}
BLANK = {"type": "message", "content": [{"type": "output_text", "text": ""}]}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (chat("length", content=None, reasoning_content="hm"), True),
        (chat("length", content=""), True),
        (chat("length", content="So"), False),
        (chat("length", content=None, tool_calls=[{}]), False),
        (chat("stop", content=""), False),
        ((Dialect.OPENAI_CHAT, {"choices": None}), False),
        (response({"type": "reasoning"}), True),
        (response({"type": "reasoning"}, BLANK), True),
        (response({"type": "reasoning"}, SAID), False),
        (response({"type": "function_call"}), False),
        (response({"type": "reasoning"}, reason="content_filter"), False),
        (response({"type": "reasoning"}, reason=None), False),
        (message("max_tokens", {"type": "thinking", "thinking": "hm"}), True),
        (message("max_tokens", {"type": "redacted_thinking"}, {"type": "text", "text": " "}), True),
        (message("max_tokens", {"type": "text", "text": "So"}), False),
        (message("max_tokens", {"type": "tool_use"}), False),
        (message("end_turn", {"type": "thinking", "thinking": "hm"}), False),
    ],
)
def test_a_body_is_judged_in_its_own_dialect(answer: tuple[Dialect, dict[str, Any]], expected: bool) -> None:
    """Each dialect's words for the limit, and its places for text, calls and thinking, are known."""
    dialect, body = answer
    body = {name: list(value) if isinstance(value, tuple) else value for name, value in body.items()}
    assert is_body_emptied(dialect, body, SPENT) is expected
