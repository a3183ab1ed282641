"""From every dialect to every other: requests, answers, streams, and thinking on its way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from gateway.dialects.anthropic_messages import CODEC as ANTHROPIC
from gateway.dialects.codec import Codec
from gateway.dialects.join import join
from gateway.dialects.json_bytes import dumps, loads
from gateway.dialects.openai_chat import CODEC as CHAT
from gateway.dialects.openai_responses import CODEC as RESPONSES
from gateway.domain.chat import (
    Answer,
    Conversation,
    RedactedThinking,
    Refusal,
    Role,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Turn,
)
from gateway.domain.usage import Usage
from gateway.errors import InvalidRequest
from tests.dialects.strategies import answers, base64_data, conversations, streams, tool_calls
from tests.dialects.translations import (
    CODECS,
    MAX_OUTPUT_TOKENS,
    PAIR_NAMES,
    PAIRS,
    answered,
    asked,
    meaning,
    sayable,
    through_answer,
    through_request,
    through_stream,
    visible_texts,
)

pairs = pytest.mark.parametrize(("source", "target"), PAIRS, ids=PAIR_NAMES)


@pairs
@given(conversation=conversations().map(sayable))
def test_requests_keep_their_meaning(source: Codec, target: Codec, conversation: Conversation) -> None:
    """What all dialects can say arrives whole, from any of them at any other."""
    sent, _ = through_request(source, conversation)
    received, _ = through_request(target, sent)
    assert asked(received) == asked(conversation)


@pairs
@pytest.mark.parametrize("said", [Refusal, Text])
def test_two_answers_in_a_row_stay_apart(source: Codec, target: Codec, said: type[Refusal | Text]) -> None:
    """Assistant turns that follow each other keep their own texts, refusals as well as answers."""
    answers_in_a_row = (Turn(Role.ASSISTANT, (said("First."),)), Turn(Role.ASSISTANT, (said("Second."),)))
    turns = (Turn(Role.USER, (Text("Hi"),)), *answers_in_a_row, Turn(Role.USER, (Text("Go on"),)))
    sent, _ = through_request(source, Conversation("m", turns))
    received, _ = through_request(target, sent)
    assert visible_texts(received) == ["Hi", "First.", "Second.", "Go on"]


@pairs
@given(conversation=conversations(interleaved=True))
def test_nothing_said_is_lost_in_silence(source: Codec, target: Codec, conversation: Conversation) -> None:
    """Every text that a dialect could say is in the other's request, or named as dropped, or refused."""
    try:
        sent, _ = through_request(source, conversation)
        received, _ = through_request(target, sent)
    except InvalidRequest:
        return
    arrived = "\n".join(visible_texts(received))
    assert [text for text in visible_texts(sent) if text.strip() not in arrived] == []


@pairs
@given(answer=answers(interleaved=True))
def test_answers_keep_their_meaning(source: Codec, target: Codec, answer: Answer) -> None:
    """An upstream's answer says, does and costs the same to a client of any other dialect."""
    given_by_upstream = through_answer(source, answer)
    assert answered(through_answer(target, given_by_upstream)) == answered(given_by_upstream)


@pairs
@given(data=st.data())
def test_streams_tell_the_unstreamed_answer(source: Codec, target: Codec, data: st.DataObject) -> None:
    """A stream, translated event by event and joined, is the answer that came unstreamed."""
    # A chat message has no order between its thinking, text and calls; a chat stream has one of arrival.
    answer = data.draw(answers(interleaved=CHAT not in (source, target)))
    streamed = join(through_stream(target, through_stream(source, data.draw(streams(answer)))))
    unstreamed = through_answer(target, through_answer(source, answer))
    assert answered(streamed) == answered(unstreamed)
    assert [meaning(part) for part in streamed.parts] == [meaning(part) for part in unstreamed.parts]
    assert (streamed.stop, streamed.stop_sequence) == (unstreamed.stop, unstreamed.stop_sequence)


def _chat_follow_up(body: dict[str, Any]) -> dict[str, Any]:
    message = ChatCompletion.model_validate(body).choices[0].message.model_dump(exclude_unset=True)
    calls = message.get("tool_calls") or []
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in calls]
    return {"messages": [{"role": "user", "content": "Hi"}, message, *results, {"role": "user", "content": "Go on"}]}


def _responses_follow_up(body: dict[str, Any]) -> dict[str, Any]:
    output = [item.model_dump(exclude_unset=True) for item in Response.model_validate(body).output]
    calls = [item for item in output if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": call["call_id"], "output": "done"} for call in calls]
    return {"input": [{"role": "user", "content": "Hi"}, *output, *results, {"role": "user", "content": "Go on"}]}


def _anthropic_follow_up(body: dict[str, Any]) -> dict[str, Any]:
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "done"}
        for block in body["content"]
        if block["type"] == "tool_use"
    ]
    said = [*results, {"type": "text", "text": "Go on"}]
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": body["content"]},
        {"role": "user", "content": said},
    ]
    return {"max_tokens": 100, "messages": messages}


_FOLLOW_UPS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    CHAT.dialect: _chat_follow_up,
    RESPONSES.dialect: _responses_follow_up,
    ANTHROPIC.dialect: _anthropic_follow_up,
}
"""How a client of each dialect goes on from an answer, through its official package's types."""


def _follow_up(client: Codec, answer: Answer) -> Conversation:
    """The client's next request after ``answer``, its tools run."""
    body = loads(dumps(client.render_answer(answer)))
    return client.read_request({"model": "m", **_FOLLOW_UPS[client.dialect](body)})


_signed = st.builds(Thinking, text=st.one_of(st.just(""), st.text("aé日👋 \n", min_size=1)), signature=base64_data)
_thoughts = st.lists(st.one_of(_signed, st.builds(RedactedThinking, base64_data)), min_size=1, max_size=3)
_calls = st.lists(tool_calls, max_size=2, unique_by=lambda call: call.id)


def _encodable(call: ToolCall) -> ToolCall:
    return replace(call, arguments=call.arguments.encode("utf-8", "replace").decode())


def _answer(thoughts: list[Any], calls: list[ToolCall]) -> Answer:
    stop = StopReason.TOOL_CALLS if calls else StopReason.END
    parts = (*thoughts, Text("Let me see."), *map(_encodable, calls))
    return Answer("msg_1", "m", parts, stop, Usage(), created=1)


@pytest.mark.parametrize("client", CODECS, ids=[codec.dialect.value for codec in CODECS])
@given(thoughts=_thoughts, calls=_calls)
def test_anthropic_thinking_comes_back_byte_for_byte(
    client: Codec, thoughts: list[Thinking | RedactedThinking], calls: list[ToolCall]
) -> None:
    """Anthropic's thinking blocks go through a client of any dialect and back to Anthropic unchanged."""
    upstream = ANTHROPIC.render_answer(_answer(thoughts, calls))
    asked_next = _follow_up(client, ANTHROPIC.read_answer(upstream))
    rendered = ANTHROPIC.render_request(asked_next, max_output_tokens=MAX_OUTPUT_TOKENS)
    (sent_back,) = [message for message in rendered.body["messages"] if message["role"] == "assistant"]
    kinds = ("thinking", "redacted_thinking")
    assert [block for block in sent_back["content"] if block["type"] in kinds] == [
        block for block in upstream["content"] if block["type"] in kinds
    ]
    assert not [name for name in rendered.dropped if "thinking" in name]


@pytest.mark.parametrize("client", CODECS, ids=[codec.dialect.value for codec in CODECS])
@given(summary=st.sampled_from(["", "Thinking it over."]), encrypted=base64_data, calls=_calls)
def test_openai_reasoning_comes_back_byte_for_byte(
    client: Codec, summary: str, encrypted: str, calls: list[ToolCall]
) -> None:
    """OpenAI's encrypted reasoning goes through a client of any dialect and back to OpenAI unchanged."""
    reasoning = {
        "id": "rs_68af0cf3a8d08190",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": summary}] if summary else [],
        "encrypted_content": encrypted,
    }
    upstream = RESPONSES.render_answer(_answer([], calls))
    upstream["output"].insert(0, reasoning)
    asked_next = _follow_up(client, RESPONSES.read_answer(upstream))
    rendered = RESPONSES.render_request(asked_next, max_output_tokens=MAX_OUTPUT_TOKENS)
    assert [item for item in rendered.body["input"] if item["type"] == "reasoning"] == [reasoning]
    assert rendered.dropped == ()


@pytest.mark.parametrize("client", CODECS, ids=[codec.dialect.value for codec in CODECS])
def test_thinking_never_goes_to_a_provider_that_did_not_make_it(client: Codec) -> None:
    """OpenAI's reasoning is kept from Anthropic and Anthropic's from OpenAI, and both are named."""
    from_openai = _follow_up(client, _answer([RedactedThinking("ponder:openai:rs_1:gAAA")], []))
    to_anthropic = ANTHROPIC.render_request(from_openai, max_output_tokens=MAX_OUTPUT_TOKENS)
    assert b"gAAA" not in dumps(to_anthropic.body)
    assert any("thinking" in name for name in to_anthropic.dropped)
    from_anthropic = _follow_up(client, _answer([Thinking("Why", "U0lH")], []))
    to_openai = RESPONSES.render_request(from_anthropic, max_output_tokens=MAX_OUTPUT_TOKENS)
    assert b"U0lH" not in dumps(to_openai.body)
    assert to_openai.dropped == ("thinking",)
