"""Tests of gateway/dialects/openai_chat/answer.py, calls.py and stops.py."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.openai_chat.answer import read_answer, render_answer
from gateway.domain.chat import Answer, Part, RedactedThinking, Refusal, StopReason, Text, Thinking, ToolCall
from gateway.domain.usage import Usage, UsageSource
from gateway.errors import UpstreamFailed


def _body(message: dict[str, Any], finish_reason: Any = "stop", **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return {"id": "a", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice], **fields}


_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"content": "x"}, (Text("x"),)),
        ({"content": None}, ()),
        ({"content": ""}, ()),
        ({"content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}, (Text("xy"),)),
        ({"content": None, "refusal": "no"}, (Refusal("no"),)),
        ({"content": "x", "reasoning_content": "hm"}, (Thinking("hm"), Text("x"))),
        ({"content": "x", "reasoning": "hm", "reasoning_content": None}, (Thinking("hm"), Text("x"))),
        ({"content": "x", "reasoning": {"effort": "low"}}, (Text("x"),)),
        (
            {
                "content": "x",
                "reasoning_content": "hm",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "hm", "signature": "s+/="},
                    {"type": "redacted_thinking", "data": "r"},
                    {"type": "unheard of"},
                ],
            },
            (Thinking("hm", "s+/="), RedactedThinking("r"), Text("x")),
        ),
        ({"content": "", "tool_calls": [_CALL]}, (ToolCall("c", "f", "{}"),)),
        (
            {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]},
            (ToolCall("c", "f", '{"a":1}'),),
        ),
    ],
)
def test_every_message_is_read(message: dict[str, Any], parts: tuple[Part, ...]) -> None:
    """Thinking, text, refusal and calls come out in this order, whichever server sent them."""
    assert read_answer(_body(message)).parts == parts


@pytest.mark.parametrize(
    ("message", "finish_reason", "stop"),
    [
        ({"content": "x"}, "stop", StopReason.END),
        ({"content": "x"}, None, StopReason.END),
        ({"content": "x"}, "eos", StopReason.END),
        ({"content": "x"}, "length", StopReason.MAX_TOKENS),
        ({"content": "x"}, "content_filter", StopReason.CONTENT_FILTER),
        ({"tool_calls": [_CALL]}, "tool_calls", StopReason.TOOL_CALLS),
        ({"tool_calls": [_CALL]}, "stop", StopReason.TOOL_CALLS),
        ({"tool_calls": [_CALL]}, "length", StopReason.MAX_TOKENS),
        ({"content": "x", "tool_calls": []}, "tool_calls", StopReason.END),
        ({"function_call": {"name": "f", "arguments": "{}"}}, "function_call", StopReason.TOOL_CALLS),
        ({"refusal": "no"}, "stop", StopReason.REFUSAL),
    ],
)
def test_every_finish_reason_is_read(message: dict[str, Any], finish_reason: Any, stop: StopReason) -> None:
    """The stop agrees with what the answer holds, as agents rely on it."""
    assert read_answer(_body(message, finish_reason)).stop is stop


def test_identity_usage_and_tier_are_read() -> None:
    """Id, model, time, usage and the tier beside it are kept."""
    raw = {"prompt_tokens": 4, "completion_tokens": 2}
    answer = read_answer(_body({"content": "x"}, usage=raw, service_tier="flex"))
    assert (answer.id, answer.model, answer.created) == ("a", "m", 7)
    assert answer.usage == Usage(input_tokens=4, output_tokens=2, service_tier="flex", raw=raw)


def test_missing_usage_is_not_taken_as_reported() -> None:
    """Zero counts of a server that says nothing are not the provider's."""
    assert read_answer(_body({"content": "x"}, usage=None)).usage.source is UsageSource.ESTIMATED


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": ["x"]},
        {"error": {"message": "no"}, "choices": [{"message": {"content": "x"}}]},
        {"error": "no"},
        {"object": "error", "message": "no"},
        _body({"content": "half"}, "error"),
        _body({"content": "half"}, "abort"),
        _body({"tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]}),
        _body({"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]}),
    ],
)
def test_what_is_no_answer_is_refused(body: dict[str, Any]) -> None:
    """An error in the guise of an answer, a broken one, or a call that cannot be made is a failure."""
    with pytest.raises(UpstreamFailed):
        read_answer(body)


def test_a_whole_answer_is_rendered() -> None:
    """An answer with everything has each part in its field."""
    parts = (Thinking("hm", "s"), Text("x"), Text("y"), ToolCall("c", "f", "{}"))
    answer = Answer("a", "m", parts, StopReason.TOOL_CALLS, Usage(1, output_tokens=2, service_tier="standard"), 7)
    rendered = render_answer(answer)
    usage = rendered.pop("usage")
    assert usage["total_tokens"] == 3
    assert rendered == {
        "id": "a",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "xy",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
                    "tool_calls": [_CALL],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "service_tier": "default",
    }


@pytest.mark.parametrize(
    ("parts", "content"),
    [((ToolCall("c", "f", "{}"),), None), ((Refusal("no"),), None), ((), ""), ((Thinking("hm"),), "")],
)
def test_content_is_null_only_beside_calls_or_a_refusal(parts: tuple[Part, ...], content: str | None) -> None:
    """Clients read null content as "look elsewhere", and an empty answer as empty text."""
    rendered = render_answer(Answer("a", "m", parts, StopReason.END, Usage()))
    assert rendered["choices"][0]["message"]["content"] == content
