"""Neutral events, written as the Responses event grammar."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.dialects.join import join
from gateway.dialects.json_bytes import loads
from gateway.dialects.openai_responses import CODEC
from gateway.dialects.sse import EventSplitter, SseEvent, parse
from gateway.domain.chat import Answer, StopReason
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
from tests.dialects.openai_responses.typed import encodable
from tests.dialects.strategies import answers, streams

_STARTED = Started("a1", "m", 1700000000)
_ENDING = (Stopped(StopReason.END), Used(Usage(input_tokens=3, output_tokens=2)), Finished())


def _split(written: bytes) -> list[SseEvent]:
    splitter = EventSplitter()
    events = [event for event in map(parse, splitter.feed(written)) if event is not None]
    assert splitter.rest == b""
    return events


def _write(*events: StreamEvent) -> list[dict[str, Any]]:
    writer = CODEC.writer(include_usage=False)
    written = [sse for event in events for sse in _split(writer.write(event))]
    bodies = [loads(sse.data) for sse in written]
    assert [body["type"] for body in bodies] == [sse.name for sse in written]
    assert [body["sequence_number"] for body in bodies] == list(range(len(bodies)))
    return bodies


def _outline(bodies: list[dict[str, Any]]) -> list[str]:
    return [body["type"].removeprefix("response.") for body in bodies]


def test_a_text_is_written_in_the_order_of_the_grammar() -> None:
    """Response, item and content part open and close around the text, in OpenAI's order."""
    bodies = _write(_STARTED, PartStarted(0, PartKind.TEXT), Delta(0, "Hi"), Delta(0, "!"), PartEnded(0), *_ENDING)
    assert _outline(bodies) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert bodies[-1]["response"]["output"] == [bodies[-2]["item"]]
    assert {body["item_id"] for body in bodies if "item_id" in body} == {"msg_a1_0"}


def test_thinking_is_written_as_a_sealed_summary() -> None:
    """Thinking becomes a reasoning summary; its signature stands sealed in the finished item."""
    bodies = _write(
        _STARTED,
        PartStarted(0, PartKind.THINKING),
        Delta(0, "Why"),
        Signed(0, "U0lH"),
        PartEnded(0),
        PartStarted(1, PartKind.REDACTED_THINKING, data="QUJD"),
        PartEnded(1),
        *_ENDING,
    )
    assert _outline(bodies)[2:-1] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "output_item.done",
    ]
    sealed = [item["encrypted_content"] for item in bodies[-1]["response"]["output"]]
    assert sealed == ["ponder:sig:U0lH", "ponder:red:QUJD"]


def test_parallel_calls_may_interleave() -> None:
    """Calls that stream at the same time keep to their own items."""
    bodies = _write(
        _STARTED,
        PartStarted(0, PartKind.TOOL_CALL, call_id="c1", name="f"),
        PartStarted(1, PartKind.TOOL_CALL, call_id="c2", name="g"),
        Delta(1, "{}"),
        Delta(0, '{"x":'),
        Delta(0, "1}"),
        PartEnded(1),
        PartEnded(0),
        Stopped(StopReason.TOOL_CALLS),
        Finished(),
    )
    calls = [(item["call_id"], item["arguments"]) for item in bodies[-1]["response"]["output"]]
    assert calls == [("c1", '{"x":1}'), ("c2", "{}")]


def test_finished_writes_the_terminal_event_alone() -> None:
    """Stop reason and usage are only remembered, so that the gateway can put its comment between."""
    writer = CODEC.writer(include_usage=False)
    writer.write(_STARTED)
    assert writer.write(Stopped(StopReason.MAX_TOKENS)) == b""
    assert writer.write(Used(Usage(output_tokens=7))) == b""
    (terminal,) = _split(writer.write(Finished()))
    response = loads(terminal.data)["response"]
    assert terminal.name == "response.incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["usage"]["output_tokens"] == 7


def test_a_failure_is_never_a_success() -> None:
    """A failed stream ends in an ``error`` event that clients raise on, and in ``response.failed``."""
    bodies = _write(_STARTED, PartStarted(0, PartKind.TEXT), Delta(0, "Hi"), Failed("cut off", "overloaded_error"))
    assert _outline(bodies)[-2:] == ["error", "failed"]
    assert bodies[-2]["error"]["message"] == bodies[-2]["message"] == "cut off"
    assert bodies[-2]["code"] == "overloaded_error"
    assert bodies[-1]["response"]["status"] == "failed"
    assert bodies[-1]["response"]["error"] == {"code": "server_error", "message": "cut off"}


def test_a_failure_before_the_start_is_an_error_alone() -> None:
    """Before the response has begun there is none that could fail."""
    assert _outline(_write(Failed("refused"))) == ["error"]


@given(data=st.data(), answer=answers(interleaved=True))
def test_a_stream_tells_the_unstreamed_answer(data: st.DataObject, answer: Answer) -> None:
    """The terminal event carries the very object that the unstreamed answer is, and reading joins to it."""
    bodies = _write(*data.draw(streams(answer)))
    unstreamed = CODEC.render_answer(answer)
    assert bodies[-1]["response"] == unstreamed
    reader = CODEC.reader()
    events = [event for body in bodies for event in reader.feed(SseEvent(body["type"], _dumps(body)))]
    assert join(events) == CODEC.read_answer(unstreamed)


def _dumps(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


_events: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@given(data=st.data(), answer=answers())
def test_events_are_what_the_openai_package_types(data: st.DataObject, answer: Answer) -> None:
    """Every event validates against the openai package's own type of it."""
    for body in _write(*data.draw(streams(answer))):
        read = _events.validate_python(encodable(body))
        assert read.type == body["type"]
