"""Reading event streams: the golden transcripts, and everything that is not one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic_messages.answer import read_answer
from gateway.dialects.anthropic_messages.stream_reader import AnthropicStreamReader
from gateway.dialects.join import join
from gateway.dialects.sse import SseEvent
from gateway.domain.chat import RedactedThinking, Refusal, StopReason, Text, Thinking, ToolCall
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
    Used,
)
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed
from tests.dialects.anthropic_messages.transcripts import (
    ERROR_MID_STREAM,
    PARALLEL_TOOLS,
    REDACTED,
    REFUSAL,
    SIGNATURE,
    TEXT,
    THINKING,
    WEB_SEARCH,
    read_stream,
)
from tests.dialects.strategies import json_values


def sse(body: Any, name: str = "") -> SseEvent:
    """The event that carries ``body``."""
    return SseEvent(name, json.dumps(body).encode())


def started() -> AnthropicStreamReader:
    """A reader that has seen message_start."""
    reader = AnthropicStreamReader()
    reader.feed(sse({"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 3}}}))
    return reader


def begin(index: int, block: dict[str, Any]) -> SseEvent:
    """A content_block_start."""
    return sse({"type": "content_block_start", "index": index, "content_block": block})


def delta(index: int, change: dict[str, Any]) -> SseEvent:
    """A content_block_delta."""
    return sse({"type": "content_block_delta", "index": index, "delta": change})


def test_text_transcript() -> None:
    """A text stream gives its parts in order, and a last usage that joins what start and end told."""
    events = read_stream(TEXT)
    start, used = events[0], events[-2]
    assert isinstance(start, Started)
    assert (start.id, start.model) == ("msg_01Text", "claude-opus-4-6")
    assert start.usage is not None
    assert start.usage.output_tokens == 1
    assert events[1:-2] == [
        PartStarted(0, PartKind.TEXT),
        Delta(0, "Hello"),
        Delta(0, "!"),
        PartEnded(0),
        Stopped(StopReason.END),
    ]
    assert isinstance(used, Used)
    assert used.usage == Usage(
        input_tokens=25,
        cached_tokens=40,
        cache_write_5m_tokens=70,
        cache_write_1h_tokens=30,
        output_tokens=15,
        service_tier="standard",
        raw=used.usage.raw,
    )
    assert used.usage.raw["cache_creation"] == {"ephemeral_5m_input_tokens": 70, "ephemeral_1h_input_tokens": 30}
    assert events[-1] == Finished()


def test_parallel_tools_transcript() -> None:
    """Tool calls keep the model's own JSON text, and a call without any JSON has an empty object."""
    answer = join(read_stream(PARALLEL_TOOLS))
    assert answer.parts == (
        Text("Let me look."),
        ToolCall("toolu_01A", "get_weather", '{"location": "San Francisco"}'),
        ToolCall("toolu_01B", "get_time", "{}"),
    )
    assert answer.stop is StopReason.TOOL_CALLS


def test_thinking_transcript() -> None:
    """Signatures and redacted data come through byte for byte, and thinking tokens are counted."""
    events = read_stream(THINKING)
    assert Signed(0, SIGNATURE) in events
    answer = join(events)
    assert answer.parts == (Thinking("First, 27 * 453.", SIGNATURE), RedactedThinking(REDACTED), Text("12,231"))
    assert (answer.usage.output_tokens, answer.usage.thinking_tokens) == (60, 44)


def test_server_tools_are_passed_over() -> None:
    """Server tool blocks and citations leave no part, the text around them does, and searches are counted."""
    answer = join(read_stream(WEB_SEARCH))
    assert answer.parts == (Text("Sunny."),)
    assert answer.usage.web_searches == 1
    assert answer.usage.input_tokens == 10682


def test_refusal_transcript() -> None:
    """The explanation of a refusal becomes a refusal part, streamed as it is unstreamed."""
    answer = join(read_stream(REFUSAL))
    assert answer.stop is StopReason.REFUSAL
    assert answer.parts == (Refusal("This request could enable cyber harm."),)
    details = {"type": "refusal", "category": "cyber", "explanation": "This request could enable cyber harm."}
    whole = read_answer({"content": [], "stop_reason": "refusal", "stop_details": details})
    assert (whole.parts, whole.stop) == (answer.parts, answer.stop)


def test_error_mid_stream() -> None:
    """An error event fails the stream with its own type, and nothing comes after it."""
    events = read_stream(ERROR_MID_STREAM + TEXT)
    assert events[-1] == Failed("Overloaded", "overloaded_error")
    assert Finished() not in events


def test_event_names_are_not_needed() -> None:
    """A server that leaves the event names out is read by its data."""
    assert read_stream(b"\n".join(line for line in TEXT.split(b"\n") if not line.startswith(b"event:"))) == read_stream(
        TEXT
    )


def test_contents_of_block_starts_count() -> None:
    """Text, thinking, signature and input that a server puts into the block's start are not lost."""
    reader = started()
    assert reader.feed(begin(0, {"type": "thinking", "thinking": "Hm", "signature": "c2ln"})) == (
        PartStarted(0, PartKind.THINKING),
        Delta(0, "Hm"),
        Signed(0, "c2ln"),
    )
    assert reader.feed(begin(1, {"type": "text", "text": "Hi"}))[1:] == (Delta(1, "Hi"),)
    reader.feed(begin(2, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}))
    assert reader.feed(sse({"type": "content_block_stop", "index": 2})) == (Delta(2, '{"a":1}'), PartEnded(2))


def test_missing_ends_are_supplied() -> None:
    """A stream that stops without closing its blocks or naming a reason still ends whole."""
    reader = started()
    reader.feed(begin(0, {"type": "tool_use", "id": "t", "name": "f", "input": {}}))
    ending = reader.feed(sse({"type": "message_stop"}))
    assert ending == (Delta(0, "{}"), PartEnded(0), Stopped(StopReason.TOOL_CALLS), Finished())
    assert reader.feed(sse({"type": "message_start", "message": {}})) == ()


def test_unknown_events_and_deltas_are_ignored() -> None:
    """New kinds of events and deltas do not break a stream."""
    reader = started()
    reader.feed(begin(0, {"type": "text", "text": ""}))
    assert reader.feed(sse({"type": "surprise"})) == ()
    assert reader.feed(delta(0, {"type": "surprise_delta", "text": "x"})) == ()
    assert reader.feed(sse({"type": "message_delta", "delta": {}, "usage": None}))[0].__class__ is Used


@pytest.mark.parametrize(
    "event",
    [
        SseEvent("message_start", b"{"),
        SseEvent("message_start", b"[1]"),
        SseEvent("", b"\xff\xfe"),
        sse({"type": "message_stop"}),
        sse({"type": "message_start", "message": None}),
        begin(0, {"type": "text"}),
    ],
)
def test_streams_that_do_not_begin(event: SseEvent) -> None:
    """A stream whose first event is no message_start is refused as an upstream's failure."""
    with pytest.raises(UpstreamFailed):
        AnthropicStreamReader().feed(event)


@pytest.mark.parametrize(
    "event",
    [
        sse({"type": "message_start", "message": {}}),
        begin(0, {"type": "tool_use", "name": "f"}),
        begin(0, {"type": "redacted_thinking"}),
        sse({"type": "content_block_start", "index": 0}),
        sse({"type": "content_block_start", "index": True, "content_block": {"type": "text"}}),
        delta(7, {"type": "text_delta", "text": "x"}),
        sse({"type": "content_block_stop", "index": 7}),
        sse({"type": "message_delta"}),
    ],
)
def test_events_that_break_the_grammar(event: SseEvent) -> None:
    """An event that breaks the grammar is refused as an upstream's failure."""
    with pytest.raises(UpstreamFailed):
        started().feed(event)


def test_a_block_begins_once() -> None:
    """Two beginnings of one block are refused."""
    reader = started()
    reader.feed(begin(0, {"type": "text", "text": ""}))
    with pytest.raises(UpstreamFailed):
        reader.feed(begin(0, {"type": "text", "text": ""}))


_kinds = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "error"]
)
_events = st.fixed_dictionaries(
    {"type": _kinds},
    optional={
        "message": json_values,
        "index": st.one_of(st.integers(0, 2), json_values),
        "content_block": st.one_of(
            json_values,
            st.fixed_dictionaries(
                {"type": st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "x"])},
                optional={"id": json_values, "name": json_values, "input": json_values, "text": json_values},
            ),
        ),
        "delta": st.one_of(
            json_values,
            st.fixed_dictionaries(
                {"type": st.sampled_from(["text_delta", "thinking_delta", "input_json_delta", "signature_delta"])},
                optional={"text": json_values, "thinking": json_values, "stop_reason": json_values},
            ),
        ),
        "usage": json_values,
        "error": json_values,
    },
)


@given(st.lists(_events, max_size=6), st.booleans())
def test_no_json_crashes_the_reader(events: list[dict[str, Any]], begun: bool) -> None:
    """Whatever JSON an upstream streams, the reader gives events or raises UpstreamFailed."""
    reader = started() if begun else AnthropicStreamReader()
    for event in events:
        try:
            reader.feed(sse(event))
        except UpstreamFailed:
            return
