"""An upstream's Responses stream, read event by event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.join import join
from gateway.dialects.openai_responses import CODEC
from gateway.dialects.sse import SseEvent
from gateway.domain.chat import RedactedThinking, Refusal, StopReason, Text, Thinking, ToolCall
from gateway.domain.events import (
    Delta,
    Failed,
    Finished,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    Stopped,
    StreamEvent,
    Used,
)
from gateway.errors import UpstreamFailed
from tests.dialects.openai_responses import transcripts
from tests.dialects.strategies import json_values


def _read(events: list[dict[str, Any]]) -> list[StreamEvent]:
    reader = CODEC.reader()
    return [neutral for event in transcripts.sse(events) for neutral in reader.feed(event)]


@pytest.mark.parametrize("name", transcripts.ALL)
def test_a_streamed_answer_joined_is_the_unstreamed_one(name: str) -> None:
    """Each transcript, joined, equals the answer read from its own terminal response."""
    events = transcripts.ALL[name]
    assert join(_read(events)) == CODEC.read_answer(events[-1]["response"])


def test_a_text_streams_event_by_event() -> None:
    """Each delta is passed on at once; what the terminal event tells follows from it alone."""
    events = _read(transcripts.TEXT)
    assert events[:-3] == [
        Started("resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654", "gpt-5.4-2026-03-05", transcripts.CREATED_AT),
        PartStarted(0, PartKind.TEXT),
        Delta(0, "Hi"),
        Delta(0, " there!"),
        PartEnded(0),
    ]
    assert events[-3] == Stopped(StopReason.END)
    used = events[-2]
    assert isinstance(used, Used)
    assert (used.usage.input_tokens, used.usage.cached_tokens, used.usage.cache_write_5m_tokens) == (17, 16, 4)
    assert (used.usage.output_tokens, used.usage.thinking_tokens, used.usage.service_tier) == (11, 5, "default")
    assert events[-1] == Finished()


@pytest.mark.parametrize(
    ("name", "parts", "stop"),
    [
        (
            "parallel tools",
            (
                ToolCall("call_oAAm4vjFKpiqmoTG0", "get_weather", '{"location": "Paris"}'),
                ToolCall("call_oAAm4vjFKpiqmoTG1", "get_weather", '{"location": "Oslo"}'),
            ),
            StopReason.TOOL_CALLS,
        ),
        (
            "thinking",
            (
                Thinking("**Counting**\n\nTwo of them.", "ponder:openai:rs_68af0cf3a8d08190:gAAAAABor_zz=="),
                RedactedThinking("ponder:openai:rs_2:gAAAAhidden"),
                Text("2"),
            ),
            StopReason.END,
        ),
        ("refusal", (Refusal("I cannot help with that."),), StopReason.REFUSAL),
        ("cut short", (Text("Hi there!"),), StopReason.MAX_TOKENS),
    ],
)
def test_transcripts_read_as_their_parts(name: str, parts: tuple[object, ...], stop: StopReason) -> None:
    """Tools, reasoning with its encrypted content, refusals and cut answers read as what they are."""
    answer = join(_read(transcripts.ALL[name]))
    assert (answer.parts, answer.stop) == (parts, stop)


def test_an_error_inside_the_stream_fails_once() -> None:
    """An ``error`` event fails the stream; the ``response.failed`` behind it adds nothing."""
    assert _read(transcripts.FAILED)[-1] == Failed("An error occurred.", "server_error")
    assert sum(isinstance(event, Failed) for event in _read(transcripts.FAILED)) == 1


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "An error occurred.", "param": None},
        transcripts.FAILED[-1],
    ],
)
def test_every_form_of_failure_is_read(event: dict[str, Any]) -> None:
    """The documented flat ``error`` event and ``response.failed`` alone fail the stream too."""
    assert _read([event]) == [Failed("An error occurred.", "server_error")]


def test_text_that_comes_only_when_done_is_made_up_for() -> None:
    """Deltas that a server left out are completed from its ``done`` events."""
    kept = [event for event in transcripts.TEXT if not event["type"].endswith(("delta", ".added"))]
    assert join(_read(kept)).parts == (Text("Hi there!"),)
    kept = [event for event in transcripts.TOOL if "arguments" not in event["type"]]
    assert join(_read(kept)).parts == (ToolCall("call_oAAm4vjFKpiqmoTG0", "get_weather", '{"location": "Paris"}'),)


def test_an_answer_told_only_at_the_end_is_whole() -> None:
    """A stream of nothing but its terminal event holds the answer of that event."""
    assert join(_read(transcripts.THINKING[-1:])) == join(_read(transcripts.THINKING))


def test_raw_reasoning_streams_as_thinking() -> None:
    """``reasoning_text`` deltas of open models read as thinking."""
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    at = {"item_id": "rs_1", "output_index": 0, "content_index": 0}
    events = [
        transcripts.TEXT[0],
        {"type": "response.output_item.added", "output_index": 0, "item": item | {"content": []}},
        {"type": "response.reasoning_text.delta", **at, "delta": "H"},
        {"type": "response.reasoning_text.delta", **at, "delta": "m."},
        {"type": "response.reasoning_text.done", **at, "text": "Hm."},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": transcripts.completed(item)},
    ]
    assert join(_read(events)).parts == (Thinking("Hm."),)


def test_events_of_the_servers_own_tools_are_passed_over() -> None:
    """A web search inside the stream neither breaks it nor becomes a part, and is counted."""
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    events = [
        *transcripts.TEXT[:2],
        {"type": "response.output_item.added", "output_index": 1, "item": search},
        {"type": "response.web_search_call.searching", "output_index": 1, "item_id": "ws_1"},
        {"type": "response.output_item.done", "output_index": 1, "item": search},
        *transcripts.TEXT[2:-1],
        {"type": "response.completed", "response": transcripts.completed(search, transcripts.MESSAGE)},
    ]
    answer = join(_read(events))
    assert answer.parts == (Text("Hi there!"),)
    assert answer.usage.web_searches == 1


def test_a_trailing_done_mark_is_ignored() -> None:
    """Compatible servers that end with ``[DONE]`` are read like any other."""
    reader = CODEC.reader()
    for event in transcripts.sse(transcripts.TEXT):
        reader.feed(event)
    assert reader.feed(SseEvent("", b"[DONE]")) == ()


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"type":7}',
        b'{"type":"response.created"}',
        b'{"type":"response.created","response":{"id":"r"}}',
        b'{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"x"}',
    ],
)
def test_malformed_events_fail_the_upstream(data: bytes) -> None:
    """What is no event of the grammar, or comes before the stream began, is the upstream's failure."""
    with pytest.raises(UpstreamFailed):
        CODEC.reader().feed(SseEvent("", data))


def test_a_cut_stream_is_no_answer() -> None:
    """Without its terminal event a stream does not finish."""
    assert Finished() not in _read(transcripts.TEXT[:-1])


_TYPES = sorted({event["type"] for events in transcripts.ALL.values() for event in events})
_KEYS = ["output_index", "content_index", "summary_index", "item", "part", "delta", "response", "arguments", "error"]
_shapes = st.sampled_from(
    [0, "x", {}, transcripts.MESSAGE, transcripts.CALLS[0], transcripts.REASONING, {"type": "output_text", "text": "x"}]
)


@given(
    events=st.lists(
        st.builds(
            lambda kind, rest: {**rest, "type": kind},
            st.sampled_from(_TYPES),
            st.dictionaries(st.sampled_from(_KEYS), st.one_of(_shapes, json_values)),
        ),
        max_size=6,
    )
)
def test_any_events_are_read_or_fail_the_upstream(events: list[dict[str, Any]]) -> None:
    """Whatever JSON an upstream streams is read or is its failure: nothing else is raised."""
    reader = CODEC.reader()
    reader.feed(transcripts.sse(transcripts.TEXT)[0])
    for event in events:
        try:
            reader.feed(SseEvent("", json.dumps(event).encode()))
        except UpstreamFailed:
            return
