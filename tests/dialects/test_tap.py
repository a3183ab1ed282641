"""Reading usage and the end out of a passing stream."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.codec import Codec
from gateway.dialects.emptied import is_answer_emptied
from gateway.dialects.sse import EventSplitter
from gateway.dialects.tap import TAPS, ChatTap, MessagesTap, ResponsesTap, Verdict
from gateway.domain.chat import Dialect, StopReason
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed
from tests.dialects.strategies import answers, streams
from tests.dialects.translations import CODECS


def _event(body: dict[str, Any], *, name: str = "", is_spaced: bool = False) -> bytes:
    text = json.dumps(body, separators=(", ", ": ") if is_spaced else (",", ":"))
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


_CHAT = [
    _chunk({"role": "assistant", "content": ""}, usage=None),
    _chunk({"content": 'he said "usage": {}'}, usage=None),
    _chunk({}, "stop", usage=None),
    {"id": "c1", "choices": [], "service_tier": "flex", "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
]


@pytest.mark.parametrize("is_spaced", [False, True])
@pytest.mark.parametrize("hides_usage", [False, True])
def test_a_chat_stream(is_spaced: bool, hides_usage: bool) -> None:
    """Usage, id and finish are learned; the usage chunk is dropped only when the client did not ask."""
    tap = ChatTap(hides_usage=hides_usage)
    verdicts = [tap.see(_event(body, is_spaced=is_spaced)) for body in _CHAT]
    assert verdicts == [Verdict.PASS] * 3 + [Verdict.DROP if hides_usage else Verdict.PASS]
    assert tap.see(b"data: [DONE]\n\n") is Verdict.TERMINAL
    assert tap.answer == {"usage": {"prompt_tokens": 3, "completion_tokens": 5}, "service_tier": "flex"}
    assert (tap.answer_id, tap.finish, tap.deltas) == ("c1", "stop", 3)


def test_usage_on_the_last_choice_is_kept_and_passed() -> None:
    """Servers that put usage beside a choice lose nothing: that chunk holds answer content too."""
    tap = ChatTap(hides_usage=True)
    assert tap.see(_event(_chunk({"content": "x"}, "length", usage={"completion_tokens": 1}))) is Verdict.PASS
    assert tap.answer == {"usage": {"completion_tokens": 1}, "service_tier": None}


def test_a_chat_stream_that_reports_an_error() -> None:
    """An error object inside the stream is an error, named by its type and not by its message."""
    tap = ChatTap(hides_usage=True)
    assert tap.see(_event({"error": {"type": "server_error", "message": "secret prompt"}})) is Verdict.ERROR
    assert tap.error == "server_error"


@pytest.mark.parametrize("end", [b": bye\ndata: [DONE]\n\n", b"event: done\ndata:[DONE]\n\n", b"\ndata: [DONE]\n\n"])
def test_the_end_of_a_chat_stream_in_company(end: bytes) -> None:
    """The terminal event is known as such behind a comment, a name or an empty line too."""
    assert ChatTap(hides_usage=True).see(end) is Verdict.TERMINAL


def test_an_empty_id_waits_for_a_better_one() -> None:
    """Azure opens its streams with a chunk whose id is empty; the answer's own id comes later."""
    tap = ChatTap(hides_usage=True)
    assert tap.see(_event({"id": "", "choices": [], "prompt_filter_results": []})) is Verdict.PASS
    assert tap.see(_event({"id": None, "choices": []})) is Verdict.PASS
    assert tap.see(_event(_chunk({}, "stop"))) is Verdict.PASS
    assert tap.answer_id == "c1"


def test_an_anthropic_stream() -> None:
    """Input usage of the start and cumulative usage of the end merge into one."""
    tap = MessagesTap()
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": {"id": "m1", "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("ping", {}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "hi"}}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7, "input_tokens": None}}),
    ]
    for name, body in events:
        assert tap.see(_event({"type": name, **body}, name=name)) is Verdict.PASS
    assert tap.see(_event({"type": "message_stop"}, name="message_stop")) is Verdict.TERMINAL
    assert tap.answer == {"usage": {"input_tokens": 9, "output_tokens": 7}}
    assert (tap.answer_id, tap.finish, tap.deltas) == ("m1", "end_turn", 1)


def test_an_anthropic_error_event() -> None:
    """An overload in mid-stream is an error with its own kind."""
    tap = MessagesTap()
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert tap.see(_event(body, name="error")) is Verdict.ERROR
    assert tap.error == "overloaded_error"


@pytest.mark.parametrize("has_names", [True, False])
def test_a_responses_stream(has_names: bool) -> None:
    """The terminal event is known by its type, also when answer text quotes its name."""
    tap = ResponsesTap()
    created: dict[str, Any] = {"type": "response.created", "response": {"id": "r1", "status": "in_progress"}}
    delta: dict[str, Any] = {
        "type": "response.output_text.delta",
        "delta": 'the "response.completed" event and "error"',
    }
    done: dict[str, Any] = {"type": "response.output_text.done", "text": 'the "response.completed" event and "error"'}
    answer = {"id": "r1", "status": "completed", "usage": {"input_tokens": 2}}
    end: dict[str, Any] = {"type": "response.completed", "response": answer}
    verdicts = [tap.see(_event(body, name=body["type"] if has_names else "")) for body in (created, delta, done, end)]
    assert verdicts == [Verdict.PASS, Verdict.PASS, Verdict.PASS, Verdict.TERMINAL]
    assert tap.answer == end["response"]
    assert (tap.answer_id, tap.finish, tap.deltas) == ("r1", "completed", 1)


def test_a_response_that_failed_is_terminal_and_an_error() -> None:
    """``response.failed`` ends the stream, and says why."""
    tap = ResponsesTap()
    body = {"type": "response.failed", "response": {"id": "r1", "status": "failed", "error": {"code": "server_error"}}}
    assert tap.see(_event(body)) is Verdict.TERMINAL
    assert tap.error == "server_error"


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("data", [b"data: {broken\n\n", b'data: ["error"]\n\n', b'data: "\xff\xfe error"\n\n'])
def test_events_that_are_not_objects_fail_the_stream(dialect: Dialect, data: bytes) -> None:
    """Malformed JSON, bad UTF-8 and non-objects are the upstream's failure, never a crash."""
    tap = TAPS[dialect](True)
    if dialect is Dialect.OPENAI_RESPONSES and b'"error"' not in data:
        assert tap.see(data) is Verdict.PASS  # only events that can matter are parsed
        return
    with pytest.raises(UpstreamFailed):
        tap.see(data)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_heartbeats_pass(dialect: Dialect) -> None:
    """Comments are nobody's event."""
    assert TAPS[dialect](True).see(b": keep-alive\n\n") is Verdict.PASS


@pytest.mark.parametrize("codec", CODECS, ids=[codec.dialect.value for codec in CODECS])
@given(data=st.data())
def test_a_passing_stream_has_text_where_its_answer_has(codec: Codec, data: st.DataObject) -> None:
    """However it is cut, a stream that passes unread is known to say something, or nothing but thinking."""
    answer = replace(data.draw(answers()), stop=StopReason.MAX_TOKENS, usage=Usage(output_tokens=1))
    tap, writer, splitter = TAPS[codec.dialect](False), codec.writer(include_usage=True), EventSplitter()
    for event in data.draw(streams(answer)):
        for raw in splitter.feed(writer.write(event)):
            tap.see(raw)
    assert tap.has_text is not is_answer_emptied(answer)


@pytest.mark.parametrize(
    ("delta", "has_text"),
    [
        ({"content": ""}, False),
        ({"content": None}, False),
        ({"content": " \n"}, False),
        ({"reasoning_content": '"content": "so"', "content": None}, False),
        ({"content": "So"}, True),
        ({"refusal": "No"}, True),
        ({"tool_calls": [{"index": 0, "function": {"name": "f"}}]}, True),
        ({"tool_calls": []}, False),
    ],
)
@pytest.mark.parametrize("is_spaced", [False, True])
def test_what_counts_as_text_in_chat(delta: dict[str, Any], *, has_text: bool, is_spaced: bool) -> None:
    """Words, refusals and calls are an answer; thinking that quotes one, and blank space, are none."""
    tap = ChatTap(hides_usage=False)
    for body in (_chunk({"role": "assistant"}), _chunk(delta), _chunk({}, "length")):
        tap.see(_event(body, is_spaced=is_spaced))
    assert tap.has_text is has_text
    assert tap.deltas == 3
