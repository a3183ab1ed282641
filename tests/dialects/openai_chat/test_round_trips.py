"""Round trips through openai-chat: what it cannot say is stated here, all else comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from gateway.dialects.join import join
from gateway.dialects.json_bytes import dumps, loads
from gateway.dialects.openai_chat import CODEC, only_documented
from gateway.domain.chat import (
    Answer,
    Conversation,
    Document,
    Image,
    OutputKind,
    Part,
    RedactedThinking,
    Refusal,
    Role,
    StopReason,
    Text,
    Thinking,
    ThinkingMode,
    ThinkingWish,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.domain.events import StreamEvent
from tests.dialects.openai_chat.transcripts import read_stream
from tests.dialects.strategies import answers, conversations, json_values, streams

_EXTRAS = st.dictionaries(
    st.sampled_from(["metadata", "store", "logprobs", "logit_bias", "thinking_token_budget"]),
    json_values.filter(lambda value: value is not None),
    max_size=2,
).map(lambda extras: {"openai-chat": extras} if extras else {})


def _part_as_said(part: Part) -> Part:
    match part:
        case Image(file_id=str(file_id)):
            return Document(file_id=file_id, cache_control=part.cache_control)
        case Document(text=str(text)):
            heading = "\n".join(label for label in (part.name, part.context) if label)
            return Text(f"{heading}\n\n{text}" if heading else text, part.cache_control)
        case Document(data=str()):
            return replace(part, context=None, name=part.name or "document.pdf")
        case Document(url=str()):
            return replace(part, context=None, name=part.name or "document")
        case Document():
            return replace(part, context=None)
        case _:
            return part


def _user_as_said(turn: Turn) -> list[Turn]:
    results: list[Part] = []
    others: list[Part] = []
    for result in (part for part in turn.parts if isinstance(part, ToolResult)):
        said = [_part_as_said(part) for part in result.parts]
        moved = [part for part in said if not isinstance(part, Text)]
        kept = tuple(part for part in said if isinstance(part, Text))
        results.append(replace(result, parts=kept, is_error=False))
        if moved:
            others += [Text(f"Returned by tool call {result.call_id}:"), *moved]
    others += [_part_as_said(part) for part in turn.parts if not isinstance(part, ToolResult)]
    turns = [Turn(Role.USER, tuple(results))] if results else []
    return [*turns, Turn(Role.USER, tuple(others), turn.name)] if others else turns


_ORDER = (Thinking | RedactedThinking, Text, Refusal, ToolCall)


def _assistant_as_said(turn: Turn) -> Turn:
    return replace(turn, parts=tuple(part for kind in _ORDER for part in turn.parts if isinstance(part, kind)))


def _turns_as_said(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    said: list[Turn] = []
    for turn in turns:
        match turn.role:
            case Role.USER:
                said += _user_as_said(turn)
            case Role.ASSISTANT:
                said.append(_assistant_as_said(turn))
            case _:
                said.append(turn)
    return tuple(said)


def _conversation_as_said(conversation: Conversation) -> Conversation:
    demanded = conversation.output_format
    if demanded.kind is OutputKind.SCHEMA and demanded.name is None:
        demanded = replace(demanded, name="response")
    is_off = conversation.thinking.mode is ThinkingMode.DISABLED
    return replace(
        conversation,
        turns=_turns_as_said(conversation.turns),
        output_format=demanded,
        thinking=ThinkingWish(effort="none" if is_off else conversation.thinking.effort),
    )


def _through_json(value: Any) -> Any:
    return loads(dumps(value))


@given(conversations(interleaved=True, extras=_EXTRAS))
def test_requests_keep_their_meaning(conversation: Conversation) -> None:
    """A rendered conversation reads back as itself, save for what chat has no words for."""
    rendered = CODEC.render_request(conversation, max_output_tokens=4096)
    assert CODEC.read_request(_through_json(rendered.body)) == _conversation_as_said(conversation)


@given(conversations())
def test_what_is_lost_is_named(conversation: Conversation) -> None:
    """Every thing that chat cannot say is in ``dropped``, and nothing else is."""
    parts = [part for turn in conversation.turns for part in turn.parts]
    results = [part for part in parts if isinstance(part, ToolResult)]
    everything = (*parts, *(inner for result in results for inner in result.parts))
    expected = set()
    if any(result.is_error for result in results):
        expected.add("tool_result.is_error")
    if any(isinstance(part, Document) and part.context and part.text is None for part in everything):
        expected.add("document.context")
    if conversation.thinking.budget_tokens is not None:
        expected.add("thinking.budget_tokens")
    if conversation.thinking.display is not None:
        expected.add("thinking.display")
    assert set(CODEC.render_request(conversation, max_output_tokens=4096).dropped) == expected


@given(conversations(extras=_EXTRAS))
def test_rendering_what_was_read_changes_nothing_more(conversation: Conversation) -> None:
    """A body that this codec rendered is rendered the same after being read."""
    body = CODEC.render_request(conversation, max_output_tokens=4096).body
    assert CODEC.render_request(CODEC.read_request(body), max_output_tokens=4096).body == body


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {key: _without_surrogates(member) for key, member in value.items()}
        case list():
            return [_without_surrogates(member) for member in value]
        case _:
            return value


def _exhausted(value: Any) -> None:
    """Walk lazily validated iterables, so that their validation happens."""
    if isinstance(value, dict):
        for member in value.values():
            _exhausted(member)
    elif not isinstance(value, str) and hasattr(value, "__iter__"):
        for member in value:
            _exhausted(member)


_REQUEST: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
_COMPLETION = TypeAdapter(ChatCompletion)
_CHUNK = TypeAdapter(ChatCompletionChunk)


@given(conversations())
def test_documented_requests_fit_the_openai_types(conversation: Conversation) -> None:
    """Without extension fields, a rendered request validates as the openai package's parameters."""
    rendered = only_documented(CODEC.render_request(replace(conversation, stream=False), max_output_tokens=4096))
    _exhausted(_REQUEST.validate_python(_without_surrogates(rendered.body)))
    assert b'"cache_control"' not in dumps(rendered.body)
    assert b'"thinking_blocks"' not in dumps(rendered.body)


_STOPS_AS_SAID = {StopReason.CONTEXT_FULL: StopReason.MAX_TOKENS, StopReason.PAUSED: StopReason.END}


def _answer_as_said(answer: Answer) -> Answer:
    stop = _STOPS_AS_SAID.get(answer.stop, answer.stop)
    if stop is StopReason.REFUSAL and not any(isinstance(part, Refusal) for part in answer.parts):
        stop = StopReason.CONTENT_FILTER
    texts = "".join(part.text for part in answer.parts if isinstance(part, Text))
    spoken: list[Part] = [Text(texts)] if texts else []
    thinking = [part for part in answer.parts if isinstance(part, Thinking | RedactedThinking)]
    rest = [part for kind in (Refusal, ToolCall) for part in answer.parts if isinstance(part, kind)]
    writes = answer.usage.cache_write_5m_tokens + answer.usage.cache_write_1h_tokens
    usage = replace(answer.usage, cache_write_5m_tokens=writes, cache_write_1h_tokens=0, web_searches=0)
    return replace(answer, parts=(*thinking, *spoken, *rest), stop=stop, usage=usage)


@given(answers(interleaved=True))
def test_answers_keep_their_meaning(answer: Answer) -> None:
    """A rendered answer reads back as itself: thinking, then text, then tool calls."""
    again = CODEC.read_answer(_through_json(CODEC.render_answer(answer)))
    assert replace(again, usage=replace(again.usage, raw={})) == _answer_as_said(answer)


@given(answers())
def test_answers_fit_the_openai_types(answer: Answer) -> None:
    """A rendered answer validates as the openai package's ChatCompletion."""
    _COMPLETION.validate_python(_without_surrogates(CODEC.render_answer(answer)), strict=True)


def _written(events: tuple[StreamEvent, ...], *, include_usage: bool = True) -> bytes:
    writer = CODEC.writer(include_usage=include_usage)
    return b"".join(writer.write(event) for event in events)


@given(st.data())
def test_a_stream_joined_equals_the_unstreamed_answer(data: st.DataObject) -> None:
    """Writing, reading and joining a stream gives what rendering and reading the answer gives."""
    answer = data.draw(answers())
    streamed = join(read_stream(_written(data.draw(streams(answer)))))
    assert streamed == CODEC.read_answer(_through_json(CODEC.render_answer(answer)))


@given(st.data())
def test_an_interleaved_stream_loses_nothing(data: st.DataObject) -> None:
    """Parts in any order arrive whole: every signature, call and word."""
    answer = data.draw(answers(interleaved=True))
    joined = join(read_stream(_written(data.draw(streams(answer)))))
    expected, arrived = _answer_as_said(answer), _answer_as_said(joined)
    assert arrived.parts[-1:] == expected.parts[-1:]
    assert [part for part in arrived.parts if not isinstance(part, Thinking)] == [
        part for part in expected.parts if not isinstance(part, Thinking)
    ]
    assert [part for part in arrived.parts if isinstance(part, Thinking)] == [
        part for part in expected.parts if isinstance(part, Thinking)
    ]


@given(st.data())
def test_the_openai_package_joins_our_stream_to_our_answer(data: st.DataObject) -> None:
    """The openai package's own accumulator makes of the chunks what it would read unstreamed."""
    answer = data.draw(answers())
    chunks = _written(data.draw(streams(answer))).split(b"\n\n")
    assert chunks[-2:] == [b"data: [DONE]", b""]
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks[:-2]:
        state.handle_chunk(_CHUNK.validate_python(_without_surrogates(loads(chunk.removeprefix(b"data: ")))))
    joined: Any = state.current_completion_snapshot.to_dict()
    expected = _without_surrogates(CODEC.render_answer(answer))
    choice, expected_choice = joined["choices"][0], expected["choices"][0]
    message, expected_message = choice["message"], expected_choice["message"]
    assert choice["finish_reason"] == expected_choice["finish_reason"]
    assert (message["content"] or "") == (expected_message["content"] or "")
    for field in ("refusal", "reasoning_content"):
        assert message.get(field) == expected_message.get(field)
    assert _entries(message, "thinking_blocks") == expected_message.get("thinking_blocks", [])
    assert _entries(message, "tool_calls") == expected_message.get("tool_calls", [])
    assert joined["usage"] == expected["usage"]


def _entries(message: dict[str, Any], field: str) -> list[Any]:
    """What the accumulator joined, without what it adds itself."""
    entries = [{key: value for key, value in entry.items() if key != "index"} for entry in message.get(field) or ()]
    for entry in entries:
        entry.get("function", {}).pop("parsed_arguments", None)
    return entries
