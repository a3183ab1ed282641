"""Whole answers in both directions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic_messages import CODEC
from gateway.dialects.join import join
from gateway.domain.chat import (
    Answer,
    Image,
    Part,
    RedactedThinking,
    Refusal,
    StopReason,
    Text,
    Thinking,
    ToolCall,
)
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed
from tests.dialects.anthropic_messages.essence import answer_essence
from tests.dialects.anthropic_messages.sdk_types import check_message
from tests.dialects.anthropic_messages.transcripts import read_stream, write_stream
from tests.dialects.strategies import answers, json_values, streams

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-6",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "text", "text": "Hi", "citations": None},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"b": 1, "a": 2}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 5},
}


def answer(*parts: Part, stop: StopReason = StopReason.END) -> Answer:
    """An answer of these parts."""
    return Answer("msg_1", "m", parts, stop, Usage())


def test_reading_a_message() -> None:
    """Every block with a neutral value becomes its part, in order; server tool blocks are passed over."""
    read = CODEC.read_answer(MESSAGE)
    assert read.parts == (
        Thinking("Hm.", "c2ln"),
        RedactedThinking("ZGF0YQ=="),
        Text("Hi"),
        ToolCall("toolu_1", "f", '{"b":1,"a":2}'),
    )
    assert (read.id, read.model, read.stop) == ("msg_1", "claude-opus-4-6", StopReason.TOOL_CALLS)
    assert (read.usage.input_tokens, read.usage.raw) == (3, MESSAGE["usage"])


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", StopReason.END),
        ("stop_sequence", StopReason.STOP_SEQUENCE),
        ("max_tokens", StopReason.MAX_TOKENS),
        ("tool_use", StopReason.TOOL_CALLS),
        ("refusal", StopReason.REFUSAL),
        ("pause_turn", StopReason.PAUSED),
        ("model_context_window_exceeded", StopReason.CONTEXT_FULL),
    ],
)
def test_stop_reasons(word: str, reason: StopReason) -> None:
    """Each stop reason is read and rendered by the same pair."""
    assert CODEC.read_answer({**MESSAGE, "content": [], "stop_reason": word}).stop is reason
    assert CODEC.render_answer(answer(stop=reason))["stop_reason"] == word


def test_a_content_filter_is_a_refusal() -> None:
    """A content filter's stop is a refusal in Anthropic's words."""
    assert CODEC.render_answer(answer(stop=StopReason.CONTENT_FILTER))["stop_reason"] == "refusal"


@pytest.mark.parametrize("reason", [None, "surprise", 7])
def test_unknown_stop_reasons(reason: Any) -> None:
    """A missing or unknown stop reason is told from the parts."""
    assert CODEC.read_answer({**MESSAGE, "stop_reason": reason}).stop is StopReason.TOOL_CALLS
    assert CODEC.read_answer({**MESSAGE, "stop_reason": reason, "content": []}).stop is StopReason.END


def test_parts_correct_a_plain_end() -> None:
    """Tool calls that a server ended with a plain stop still read as tool_use, and refusals as refusal."""
    assert CODEC.render_answer(answer(ToolCall("t", "f", "{}")))["stop_reason"] == "tool_use"
    refused = CODEC.render_answer(answer(Refusal("No.")))
    assert (refused["stop_reason"], refused["content"]) == ("refusal", [{"type": "text", "text": "No."}])


def test_arguments_that_are_no_object_are_wrapped() -> None:
    """Arguments cut short reach the client in Anthropic's own wrapping for invalid JSON."""
    content = CODEC.render_answer(answer(ToolCall("t", "f", '{"a": "cu')))["content"]
    assert content[0]["input"] == {"INVALID_JSON": '{"a": "cu'}


def test_empty_blocks_are_left_out() -> None:
    """Empty text and thinking become no block, because Anthropic would refuse them in the next request."""
    assert CODEC.render_answer(answer(Thinking(""), Text(""), Text("a")))["content"] == [{"type": "text", "text": "a"}]


def test_an_answer_holds_no_image() -> None:
    """A part that no answer can hold is refused."""
    with pytest.raises(UpstreamFailed):
        CODEC.render_answer(answer(Image(url="https://a.example")))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": "text"},
        {"content": ["text"]},
        {"content": [{"type": "text"}]},
        {"content": [{"type": "tool_use", "name": "f", "input": {}}]},
        {"content": [{"type": "redacted_thinking"}]},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"type": "error"},
    ],
)
def test_what_is_no_message(body: dict[str, Any]) -> None:
    """A body that is no message, a 200 with an error in it included, is an upstream's failure."""
    with pytest.raises(UpstreamFailed):
        CODEC.read_answer(body)


@given(st.dictionaries(st.sampled_from([*MESSAGE, "stop_details"]), json_values))
def test_no_json_crashes_reading(members: dict[str, Any]) -> None:
    """Whatever JSON an upstream answers is read, or refused as its failure."""
    try:
        CODEC.read_answer({**MESSAGE, **members})
    except UpstreamFailed:
        return


@given(answers(interleaved=True))
def test_rendered_answers_have_the_sdks_type(whole: Answer) -> None:
    """Each rendered answer validates as the anthropic package's Message."""
    check_message(CODEC.render_answer(whole))


@given(answers(interleaved=True))
def test_round_trip(whole: Answer) -> None:
    """An answer rendered and read again means the same."""
    assert answer_essence(CODEC.read_answer(CODEC.render_answer(whole))) == answer_essence(whole)


@given(st.data())
def test_streamed_equals_unstreamed(data: st.DataObject) -> None:
    """An answer written as a stream and joined is the answer rendered whole."""
    whole = data.draw(answers(interleaved=True))
    events = data.draw(streams(whole))
    streamed = join(read_stream(write_stream(events)))
    unstreamed = CODEC.read_answer(CODEC.render_answer(whole))
    assert answer_essence(replace(streamed, usage=unstreamed.usage)) == answer_essence(unstreamed)
    for name in ("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens", "prompt_tokens"):
        assert getattr(streamed.usage, name) == getattr(unstreamed.usage, name)
