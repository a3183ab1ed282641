"""Tests of gateway/dialects/openai_chat/writer.py."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.json_bytes import loads
from gateway.dialects.openai_chat import CODEC
from gateway.domain.chat import StopReason
from gateway.domain.events import (
    Delta,
    Failed,
    Finished,
    PartEnded,
    PartKind,
    PartStarted,
    Signed,
    Started,
    Stopped,
    StreamEvent,
    Used,
)
from gateway.domain.usage import Usage

_START = Started("a", "m", 7)


def _chunks(*events: StreamEvent, include_usage: bool = False) -> list[Any]:
    writer = CODEC.writer(include_usage=include_usage)
    raw = b"".join(writer.write(event) for event in events)
    return [loads(block.removeprefix(b"data: ")) for block in raw.split(b"\n\n") if block]


def _deltas(*events: StreamEvent) -> list[Any]:
    """The deltas after the first chunk."""
    return [chunk["choices"][0]["delta"] for chunk in _chunks(_START, *events)[1:]]


def test_the_first_chunk_has_the_role() -> None:
    """The stream begins with the role; every chunk repeats what identifies the answer."""
    envelope = {"id": "a", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    first, second = _chunks(_START, Stopped(StopReason.MAX_TOKENS))
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    assert first == {**envelope, "choices": [choice]}
    assert second == {**envelope, "choices": [{**choice, "delta": {}, "finish_reason": "length"}]}


def test_the_terminal_event_stands_alone() -> None:
    """Finished is exactly the terminal event, so that a cost comment can go before it."""
    writer = CODEC.writer(include_usage=True)
    for event in (_START, Stopped(StopReason.END), Used(Usage())):
        writer.write(event)
    assert writer.write(Finished()) == b"data: [DONE]\n\n"


def test_usage_is_written_only_when_asked_for() -> None:
    """With include_usage the other chunks have null usage and one chunk has no choices; else none."""
    events = (_START, Stopped(StopReason.END), Used(Usage(3, output_tokens=2, service_tier="default")))
    first, stop, last = _chunks(*events, include_usage=True)
    assert (first["usage"], stop["usage"], last["choices"]) == (None, None, [])
    assert (last["usage"]["total_tokens"], last["service_tier"]) == (5, "default")
    assert all("usage" not in chunk for chunk in _chunks(*events))


def test_usage_before_the_stop_waits_for_it() -> None:
    """A usage chunk before the finish would end the answer for some clients."""
    _first, stop, last = _chunks(_START, Used(Usage(3)), Stopped(StopReason.END), include_usage=True)
    assert stop["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["prompt_tokens"] == 3


def test_tool_calls_are_numbered_among_themselves() -> None:
    """A call's index counts calls, not parts; interleaved deltas find theirs."""
    assert _deltas(
        PartStarted(0, PartKind.TEXT),
        Delta(0, "x"),
        PartEnded(0),
        PartStarted(1, PartKind.TOOL_CALL, "c1", "f"),
        PartStarted(2, PartKind.TOOL_CALL, "c2", "g"),
        Delta(1, "{}"),
        Delta(2, "[]"),
    ) == [
        {"content": "x"},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "[]"}}]},
    ]


def test_thinking_is_text_first_and_a_signed_block_at_its_signature() -> None:
    """Thinking is written as it comes, its signed block byte for byte once it is signed."""
    assert _deltas(
        PartStarted(0, PartKind.THINKING),
        Delta(0, "a"),
        Delta(0, "b"),
        Signed(0, "EqoB+/=="),
        PartEnded(0),
        PartStarted(1, PartKind.REDACTED_THINKING, data="EmwK=="),
        PartEnded(1),
        PartStarted(2, PartKind.THINKING),
        Delta(2, "c"),
        PartEnded(2),
    ) == [
        {"reasoning_content": "a"},
        {"reasoning_content": "b"},
        {"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "ab", "signature": "EqoB+/=="}]},
        {"thinking_blocks": [{"index": 1, "type": "redacted_thinking", "data": "EmwK=="}]},
        {"reasoning_content": "c"},
        {"thinking_blocks": [{"index": 2, "type": "thinking", "thinking": "c"}]},
    ]


def test_unsigned_thinking_alone_needs_no_block() -> None:
    """What nobody signed is not sent twice; only more thinking right after it makes it a block."""
    unsigned = (PartStarted(0, PartKind.THINKING), Delta(0, "a"), PartEnded(0))
    text = (PartStarted(1, PartKind.TEXT), Delta(1, "x"), PartEnded(1))
    assert _deltas(*unsigned, *text) == [{"reasoning_content": "a"}, {"content": "x"}]
    assert _deltas(*unsigned, PartStarted(1, PartKind.THINKING)) == [
        {"reasoning_content": "a"},
        {"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "a"}]},
    ]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((Stopped(StopReason.STOP_SEQUENCE, "END"),), {"finish_reason": "stop", "stop_reason": "END"}),
        ((Stopped(StopReason.REFUSAL),), {"finish_reason": "content_filter"}),
        ((PartStarted(0, PartKind.REFUSAL), Stopped(StopReason.REFUSAL)), {"finish_reason": "stop"}),
        ((Stopped(StopReason.CONTEXT_FULL),), {"finish_reason": "length"}),
        ((Stopped(StopReason.PAUSED),), {"finish_reason": "stop"}),
        ((Stopped(StopReason.TOOL_CALLS),), {"finish_reason": "tool_calls"}),
    ],
)
def test_every_stop_has_its_finish_reason(events: tuple[StreamEvent, ...], expected: dict[str, str]) -> None:
    """Each stop reason is said in chat's words, a met stop sequence beside it."""
    choice = _chunks(_START, *events)[-1]["choices"][0]
    assert {key: choice[key] for key in ("finish_reason", "stop_reason") if key in choice} == expected


def test_a_failure_is_an_error_that_clients_raise() -> None:
    """The openai package raises for an event with an error object."""
    assert _chunks(_START, Failed("overloaded", "overloaded_error"))[-1] == {
        "error": {"message": "overloaded", "type": "overloaded_error", "param": None, "code": "overloaded_error"}
    }
    assert _chunks(_START, Failed("gone"))[-1]["error"]["type"] == "upstream_failed"


def test_lone_surrogates_survive() -> None:
    """A cut emoji in the answer goes out as it came."""
    assert _deltas(PartStarted(0, PartKind.TEXT), Delta(0, "\ud83d"))[-1] == {"content": "\ud83d"}
