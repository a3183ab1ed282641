"""Writing event streams: the grammar, the order, and what is held back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic_messages.stream_writer import AnthropicStreamWriter
from gateway.dialects.join import join
from gateway.domain.chat import StopReason, Text, ToolCall
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
from gateway.errors import UpstreamFailed
from tests.dialects.anthropic_messages.sdk_types import check_event
from tests.dialects.anthropic_messages.transcripts import (
    PARALLEL_TOOLS,
    TEXT,
    THINKING,
    payloads,
    read_stream,
    write_stream,
)
from tests.dialects.strategies import answers, streams

START = Started("msg_1", "m")
ENDING: tuple[StreamEvent, ...] = (Stopped(StopReason.TOOL_CALLS), Used(Usage(output_tokens=9)), Finished())


def text_of(raw: bytes) -> str:
    """All text and argument deltas, in wire order."""
    deltas = [body["delta"] for body in payloads(raw) if body["type"] == "content_block_delta"]
    return "".join(delta.get("text") or delta.get("partial_json") or "" for delta in deltas)


@pytest.mark.parametrize("transcript", [TEXT, THINKING])
def test_a_transcript_read_and_written_is_the_same(transcript: bytes) -> None:
    """Reading a real stream and writing it gives the same events, usage now whole and pings left out."""
    written = payloads(write_stream(read_stream(transcript)))
    original = [body for body in payloads(transcript) if body["type"] != "ping"]
    assert [body["type"] for body in written] == [body["type"] for body in original]
    blocks = [body for body in written if body["type"].startswith("content_block")]
    assert blocks == [body for body in original if body["type"].startswith("content_block")]
    assert written[-2]["delta"] == original[-2]["delta"]
    assert original[-2]["usage"].items() <= written[-2]["usage"].items()


def test_beginning_and_end_to_the_byte() -> None:
    """The frame of a stream is Anthropic's, to the byte."""
    raw = write_stream([START, Stopped(StopReason.END), Used(Usage(input_tokens=3, output_tokens=9)), Finished()])
    assert raw == (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
        b'"role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":'
        b'{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0,'
        b'"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"service_tier":null}}}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        b'"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":9}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_deltas_are_written_at_once() -> None:
    """A delta of the first open part leaves in the very write that brings it."""
    writer = AnthropicStreamWriter()
    writer.write(START)
    assert writer.write(PartStarted(0, PartKind.TEXT)) == b""
    assert [body["type"] for body in payloads(writer.write(Delta(0, "a")))] == [
        "content_block_start",
        "content_block_delta",
    ]
    assert text_of(writer.write(Delta(0, "b"))) == "b"


def test_interleaved_tool_calls_become_sequential() -> None:
    """Of overlapping parts the first is written as it comes, the others wait until it has ended."""
    writer = AnthropicStreamWriter()
    writer.write(START)
    first = writer.write(PartStarted(0, PartKind.TOOL_CALL, call_id="a", name="f"))
    assert payloads(first)[0]["content_block"] == {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    assert writer.write(PartStarted(1, PartKind.TOOL_CALL, call_id="b", name="g")) == b""
    assert writer.write(Delta(1, '{"y"')) == b""
    assert text_of(writer.write(Delta(0, '{"x":1}'))) == '{"x":1}'
    assert writer.write(Delta(1, ":2}")) == b""
    assert writer.write(PartEnded(1)) == b""
    released = payloads(writer.write(PartEnded(0)))
    assert [body["type"] for body in released] == [
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ]
    assert [body["index"] for body in released] == [0, 1, 1, 1]
    assert released[2]["delta"] == {"type": "input_json_delta", "partial_json": '{"y":2}'}


def test_empty_parts_are_left_out() -> None:
    """Text and thinking that never say anything become no block, and use up no index."""
    raw = write_stream(
        [
            START,
            PartStarted(0, PartKind.THINKING),
            PartEnded(0),
            PartStarted(1, PartKind.TEXT),
            Delta(1, ""),
            PartEnded(1),
            PartStarted(2, PartKind.TOOL_CALL, call_id="a", name="f"),
            PartEnded(2),
            *ENDING,
        ]
    )
    starts = [body for body in payloads(raw) if body["type"] == "content_block_start"]
    assert [(body["index"], body["content_block"]["type"]) for body in starts] == [(0, "tool_use")]


def test_a_signature_alone_is_a_block() -> None:
    """Thinking whose text the provider left out keeps its signature."""
    raw = write_stream([START, PartStarted(0, PartKind.THINKING), Signed(0, "c2ln"), PartEnded(0), *ENDING])
    assert [body["type"] for body in payloads(raw)][1:4] == [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ]
    assert payloads(raw)[2]["delta"] == {"type": "signature_delta", "signature": "c2ln"}


def test_the_end_waits_for_usage() -> None:
    """message_delta waits for the usage that follows the stop, and Finished is message_stop alone."""
    writer = AnthropicStreamWriter()
    writer.write(START)
    assert writer.write(Used(Usage(output_tokens=1))) == b""
    assert writer.write(Stopped(StopReason.STOP_SEQUENCE, "END")) == b""
    told = payloads(writer.write(Used(Usage(output_tokens=7, thinking_tokens=4, web_searches=2))))
    assert told[0]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert told[0]["usage"]["output_tokens"] == 7
    assert told[0]["usage"]["output_tokens_details"] == {"thinking_tokens": 4}
    assert told[0]["usage"]["server_tool_use"] == {"web_search_requests": 2, "web_fetch_requests": 0}
    assert writer.write(Finished()) == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def test_an_end_without_usage_is_still_whole() -> None:
    """Where no usage follows the stop, the terminal event brings the message_delta with it."""
    raw = write_stream(
        [START, PartStarted(0, PartKind.TEXT), Delta(0, "a"), Stopped(StopReason.MAX_TOKENS), Finished()]
    )
    assert [body["type"] for body in payloads(raw)][-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert payloads(raw)[-2]["delta"]["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("overloaded_error", "overloaded_error"),
        ("rate_limit_exceeded", "rate_limit_error"),
        ("server_error", "api_error"),
        (None, "api_error"),
    ],
)
def test_failures_are_error_events(kind: str | None, shown: str) -> None:
    """A failure is Anthropic's error event, with a type that its clients know."""
    raw = write_stream([START, Failed("Overloaded", kind)])
    assert raw.endswith(
        b'event: error\ndata: {"type":"error","error":{"type":"%s","message":"Overloaded"}}\n\n' % shown.encode()
    )


def test_parts_must_be_open() -> None:
    """A delta of a part that is not open is refused."""
    with pytest.raises(UpstreamFailed):
        AnthropicStreamWriter().write(Delta(0, "x"))


def test_parallel_tools_survive_the_way_through() -> None:
    """Parallel tool calls read from Anthropic and written again join to the same answer."""
    once = join(read_stream(PARALLEL_TOOLS))
    twice = join(read_stream(write_stream(read_stream(PARALLEL_TOOLS))))
    assert (twice.parts, twice.stop) == (once.parts, once.stop)


@given(st.data())
def test_every_event_has_the_sdks_type(data: st.DataObject) -> None:
    """Each event written validates against the anthropic package's own types."""
    events = data.draw(answers(interleaved=True).flatmap(streams))
    for body in payloads(write_stream(events)):
        check_event(body)


@given(st.data())
def test_overlapping_parts_lose_nothing(data: st.DataObject) -> None:
    """However the events of several parts are shuffled together, the blocks written hold them whole."""
    calls = data.draw(st.lists(st.text("abc{}", max_size=6), min_size=1, max_size=4))
    queues: list[list[StreamEvent]] = [
        [
            PartStarted(index, PartKind.TOOL_CALL, call_id=f"call_{index}", name="f"),
            *(Delta(index, letter) for letter in text),
            PartEnded(index),
        ]
        for index, text in enumerate(calls)
    ]
    events: list[StreamEvent] = [START, *(queue.pop(0) for queue in queues)]
    while pending := [queue for queue in queues if queue]:
        events.append(data.draw(st.sampled_from(pending)).pop(0))
    answer = join(read_stream(write_stream([*events, *ENDING])))
    assert answer.parts == tuple(ToolCall(f"call_{index}", "f", text or "{}") for index, text in enumerate(calls))


def test_refusals_are_text_and_a_stop_reason() -> None:
    """A refusal part is shown as text, and an answer that merely ends with it stops for refusal."""
    raw = write_stream(
        [START, PartStarted(0, PartKind.REFUSAL), Delta(0, "No."), PartEnded(0), Stopped(StopReason.END), Finished()]
    )
    answer = join(read_stream(raw))
    assert (answer.parts, answer.stop) == ((Text("No."),), StopReason.REFUSAL)
