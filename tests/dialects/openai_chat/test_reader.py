"""Tests of gateway/dialects/openai_chat/reader.py."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.join import join
from gateway.dialects.json_bytes import dumps
from gateway.dialects.openai_chat import CODEC
from gateway.dialects.sse import SseEvent
from gateway.domain.chat import Part, Refusal, StopReason, Text, Thinking, ToolCall
from gateway.domain.events import (
    Delta,
    Failed,
    Finished,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    Stopped,
    Used,
)
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed
from tests.dialects.openai_chat.transcripts import feed, read_stream, transcript

_OPENAI_ID = "chatcmpl-CqZ3nGf0yUe8m2Tt1sVYwR5kLdHbX"


def test_openais_text_event_by_event() -> None:
    """OpenAI's text stream gives one part, its stop, its usage and the end, in this order."""
    events = read_stream(transcript("openai_text"))
    *before, used, finished = events
    assert before == [
        Started(_OPENAI_ID, "gpt-5-mini-2025-08-07", 1763790012),
        PartStarted(0, PartKind.TEXT),
        *(Delta(0, text) for text in ("The", " capital", " is", " Paris", ".")),
        PartEnded(0),
        Stopped(StopReason.END),
    ]
    assert isinstance(used, Used)
    assert (used.usage.input_tokens, used.usage.cached_tokens) == (18, 1024)
    assert (used.usage.output_tokens, used.usage.thinking_tokens, used.usage.service_tier) == (72, 64, "default")
    assert finished == Finished()


def test_openais_parallel_tools_event_by_event() -> None:
    """The first call ends where the second begins, as its arguments are whole."""
    assert read_stream(transcript("openai_parallel_tools"))[1:-2] == [
        PartStarted(0, PartKind.TOOL_CALL, "call_a1Bd", "get_weather"),
        Delta(0, '{"ci'),
        Delta(0, 'ty": "Par'),
        Delta(0, 'is"}'),
        PartEnded(0),
        PartStarted(1, PartKind.TOOL_CALL, "call_b2Ce", "get_time"),
        Delta(1, '{"zo'),
        Delta(1, 'ne": "CET"}'),
        PartEnded(1),
        Stopped(StopReason.TOOL_CALLS),
    ]


@pytest.mark.parametrize(
    ("name", "parts", "stop", "usage"),
    [
        ("openai_text", (Text("The capital is Paris."),), StopReason.END, (18, 72)),
        (
            "openai_tool",
            (ToolCall("call_9hZxCk2w5YbWmSgLrT1pQe0D", "get_weather", '{"city":"Paris"}'),),
            StopReason.TOOL_CALLS,
            (61, 18),
        ),
        (
            "openai_parallel_tools",
            (
                ToolCall("call_a1Bd", "get_weather", '{"city": "Paris"}'),
                ToolCall("call_b2Ce", "get_time", '{"zone": "CET"}'),
            ),
            StopReason.TOOL_CALLS,
            (84, 51),
        ),
        ("openai_refusal", (Refusal("I'm sorry, I can't help with that."),), StopReason.REFUSAL, (33, 11)),
        ("vllm_thinking", (Thinking("\n2 plus 2 is 4.\n"), Text("\n\n4")), StopReason.END, (17, 14)),
        ("vllm_thinking_older", (Thinking("\n2 plus 2 is 4.\n"), Text("\n\n4")), StopReason.END, (17, 14)),
        (
            "vllm_parallel_tools",
            (
                Thinking("Need both."),
                ToolCall("chatcmpl-tool-0b1f", "get_weather", '{"city": "Paris"}'),
                ToolCall("chatcmpl-tool-7c9d", "get_time", '{"zone": "CET"}'),
            ),
            StopReason.TOOL_CALLS,
            (211, 49),
        ),
        ("llama_cpp_text", (Text("Hi there"),), StopReason.MAX_TOKENS, (26, 2)),
    ],
)
def test_transcripts_join_to_their_answers(
    name: str, parts: tuple[Part, ...], stop: StopReason, usage: tuple[int, int]
) -> None:
    """Each server's event sequence joins to the answer it streams."""
    answer = join(read_stream(transcript(name)))
    assert (answer.parts, answer.stop) == (parts, stop)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == usage


@pytest.mark.parametrize("name", ["openai_text", "vllm_parallel_tools"])
def test_a_cut_transcript_is_never_finished(name: str) -> None:
    """However many whole events arrive, without the last there is no Finished."""
    events = transcript(name).split(b"\n\n")[:-1]
    for length in range(len(events)):
        assert Finished() not in read_stream(b"".join(event + b"\n\n" for event in events[:length]))


def test_usage_on_the_last_choice_counts_once() -> None:
    """Usage beside finish_reason, repeated in a chunk of its own, is told once, after the stop."""
    raw = {"prompt_tokens": 3, "completion_tokens": 2}
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    reader = CODEC.reader()
    events = [
        event
        for chunk in (
            {
                "choices": [{"index": 0, "delta": {"content": "x"}}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 1},
            },
            {"choices": [last], "usage": raw},
            {"choices": [], "usage": raw},
        )
        for event in reader.feed(SseEvent("", dumps(chunk)))
    ]
    assert events[-2:] == [Stopped(StopReason.END), Used(Usage(input_tokens=3, output_tokens=2, raw=raw))]
    assert sum(isinstance(event, Used) for event in events) == 1


def test_other_choices_are_not_mixed_in() -> None:
    """Only choice 0 is read; a chunk without any choice of ours says nothing."""
    reader = CODEC.reader()
    assert reader.feed(SseEvent("", dumps({"choices": [{"index": 1, "delta": {"content": "no"}}]}))) == ()
    assert reader.feed(SseEvent("", dumps({"id": "", "choices": [], "prompt_filter_results": []}))) == ()


@pytest.mark.parametrize(
    ("name", "chunk", "expected"),
    [
        ("", {"error": {"message": "slow down", "type": "rate_limit", "code": "x1"}}, Failed("slow down", "x1")),
        ("", {"error": {"message": "gone", "code": 502}, "choices": []}, Failed("gone", "502")),
        ("", {"error": "plain"}, Failed("plain", None)),
        (
            "",
            {"object": "error", "message": "old vllm", "type": "BadRequestError"},
            Failed("old vllm", "BadRequestError"),
        ),
        ("error", {"message": "named"}, Failed("named", None)),
        ("error", {}, Failed("no message given", None)),
    ],
)
def test_an_error_in_the_stream_is_its_end(name: str, chunk: dict[str, Any], expected: Failed) -> None:
    """An error, in whichever shape, is told as Failed, and nothing is read after it."""
    reader = CODEC.reader()
    assert reader.feed(SseEvent(name, dumps(chunk))) == (expected,)
    assert reader.feed(SseEvent("", b"[DONE]")) == ()


@pytest.mark.parametrize("finish", ["error", "abort"])
def test_a_broken_off_answer_is_a_failure(finish: str) -> None:
    """What OpenRouter and vLLM send when generation breaks is no ordinary stop."""
    assert isinstance(feed({"content": "half"}, finish=finish)[-1], Failed)


@pytest.mark.parametrize("data", [b"{", b"5", b"[]", b"null", b'"x"', b"\xff"])
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    """Malformed JSON and anything but an object is the upstream's failure."""
    with pytest.raises(UpstreamFailed):
        CODEC.reader().feed(SseEvent("", data))


def test_an_empty_stream_is_refused() -> None:
    """A terminal event without any answer is the upstream's failure."""
    with pytest.raises(UpstreamFailed):
        CODEC.reader().feed(SseEvent("", b"[DONE]"))


def test_an_answer_without_finish_reason_ends_with_its_terminal_event() -> None:
    """Some servers send no finish_reason; [DONE] then is the stop."""
    assert feed({"content": "x"})[-3:] == [PartEnded(0), Stopped(StopReason.END), Finished()]


def test_vllms_stop_sequence_is_kept() -> None:
    """vLLM's stop_reason names the sequence; a token's number there is none."""
    assert feed({"content": "x"}, finish="stop", stop_reason="END")[-2] == Stopped(StopReason.STOP_SEQUENCE, "END")
    assert feed({"content": "x"}, finish="stop", stop_reason=151643)[-2] == Stopped(StopReason.END)
